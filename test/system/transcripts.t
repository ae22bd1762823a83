#!/bin/sh
# SPDX-License-Identifier: ISC
# What scripts rely on, against the tables of spec/cli, with qubes that run: outputs, exit codes, pipes. On either backend.
. "${0%/*}/../tap.sh"
in_house "$@"

vm=/etc/qubes/vm.d
qubes work vault
printf 'type = TemplateVM\nlabel = black\nfeature.os = Linux\n' >$vm/tpl
printf 'label = red\nprovides_network = true\nmemory = 500\n' >$vm/net
printf 'label = green\ntemplate = tpl\nnetvm = net\ntags = a b\nvcpus = 3\n' >$vm/mail

# --- qvm-ls
like "$(qvm-ls | head -n 1)" '^NAME +STATE +CLASS +LABEL +TEMPLATE +NETVM$' 'qvm-ls: the table'
all=$(qvm-ls)
for line in 'dom0 +Running +AdminVM +black +- +-' 'work +Running +AppVM +blue +- +-' 'mail +Halted +AppVM +green +tpl +net' 'tpl +Halted +TemplateVM +black +- +-'; do
	like "$all" "^$line\$" "a line: $line"
done
is "$(qvm-ls --raw-list work mail dom0 | tr '\n' ' ')" 'work mail dom0 ' '--raw-list'
is "$(qvm-ls --raw-data --fields name,state,class,label,template,netvm,vcpus mail)" 'mail|Halted|AppVM|green|tpl|net|3' '--raw-data --fields'
is "$(qvm-ls --raw-data --fields state work)" Running '--raw-data --fields state'
is "$(qvm-ls --raw-list --running work mail vault | tr '\n' ' ')" 'work vault ' '--running'
is "$(qvm-ls --raw-list --halted work mail vault)" mail '--halted'
is "$(qvm-ls --raw-list --tags a --class AppVM)" mail '--tags --class'
is "$(qvm-ls --raw-list --features os=Linux)" tpl '--features'
is "$(qvm-ls --raw-list --prefs netvm=net)" mail '--prefs'
for f in simple network disk kernel prefs full; do
	like "$(qvm-ls --format $f work | head -n 1)" '^NAME ' "--format $f"
done

# --- qvm-check, qvm-prefs, qvm-tags, qvm-features, qvm-service
table 3<<'X'
0|qvm-check work mail|^qvm-check: work: exists
0|qvm-check -q work|^$
1|qvm-check nosuch|no such domain
0|qvm-check --running work vault|^qvm-check: work: is running
1|qvm-check --running mail|
3|qvm-check --running work mail|
1|qvm-check --paused work|
3|qvm-check --template tpl mail|^qvm-check: tpl: is a template
3|qvm-check --networked work mail|^qvm-check: mail: is networked
2|qvm-check --nosuch work|usage
1|qvm-ls nosuch|no such domain: nosuch
0|qvm-prefs mail label|^green$
0|qvm-prefs mail netvm|^net$
0|qvm-prefs mail netvm none|^$
0|qvm-prefs mail netvm|^None$
0|qvm-prefs -D mail netvm|^$
0|qvm-prefs mail memory 350|^$
0|qvm-prefs mail memory|^350$
0|qvm-prefs mail|^memory +-  350$
0|qvm-prefs mail|^debug +D  False$
0|qvm-prefs --hide-default mail|^template +-  tpl$
2|qvm-prefs mail nosuch|no such property
1|qvm-prefs mail memory 1|memory: not a number of MiB
1|qvm-prefs mail netvm work|provides no network
1|qvm-prefs nosuch label|no such domain
1|qvm-prefs work template tpl|runs
0|qubes-prefs updatevm work|^$
0|qubes-prefs updatevm|^work$
0|qubes-prefs -D updatevm|
0|qvm-tags mail|^a$
0|qvm-tags mail list a|^a$
1|qvm-tags mail list c|
0|qvm-tags mail add c|^$
0|qvm-tags mail del a b|^$
0|qvm-tags mail|^c$
0|qvm-features mail gui 1|^$
0|qvm-features mail gui|^1$
0|qvm-features --unset mail gui|
1|qvm-features mail gui|^$
0|qvm-service mail cups on|^$
0|qvm-service mail|^cups  on$
0|qvm-service -d mail cups|
1|qvm-service mail cups|^off$
X

# --- in scripts
is "$(qvm-ls --raw-list | while read -r q; do qvm-check -q --running "$q" && echo "$q"; done)" "$(qvm-ls --raw-list --running)" \
    'qvm-ls --raw-list | while read; qvm-check'
is "$(for q in $(qvm-ls --raw-list --running work vault mail); do qvm-run -p "$q" 'qubesdb-read /name'; done | tr '\n' ' ')" 'work vault ' \
    'for each that runs: qvm-run -p'
is "$(qvm-ls --raw-data --fields name,label | grep '|green$' | cut -d '|' -f 1)" mail 'grep, cut'
is "$(seq 1000 | qvm-run -p work 'grep 7$' | wc -l)" 100 'a pipe through a qube'
is "$(head -c 300000 /dev/zero | tr '\0' x | qvm-run -p work cat | qvm-run -p vault sha256sum)" "$(head -c 300000 /dev/zero | tr '\0' x | sha256sum)" 'and through two'
is "$(qvm-run -p work 'echo out; echo err >&2' 2>/dev/null)" out 'standard output'
is "$(qvm-run -p work 'echo out; echo err >&2' 2>&1 >/dev/null)" err 'and standard error apart'
table 3<<'X'
0|qvm-run -q work true|^$
3|qvm-run -p work 'exit 3'|^$
0|qvm-run work true|^Running 'true' on work
1|qvm-run -q -n mail true|
2|qvm-run|usage
X

# --- states
table 3<<'X'
1|qvm-start work|work: already running
0|qvm-start --skip-if-running work|^$
1|qvm-start nosuch|
0|qvm-pause vault|^$
0|qvm-check --paused vault|^qvm-check: vault: is paused
0|qvm-ls --raw-data --fields state vault|^Paused$
1|qvm-pause vault|
0|qvm-unpause vault|^$
0|qvm-run -p vault 'echo again'|^again$
1|qvm-unpause vault|not paused
1|qvm-kill mail|not running
0|qvm-kill vault|^$
0|qvm-ls --raw-data --fields state vault|^Halted$
0|qvm-start vault|^$
0|qvm-shutdown --wait vault|^$
0|qvm-shutdown --wait vault|^$
1|qvm-check --running vault|
1|qvm-remove -f work|work: runs
0|qvm-remove -f mail|^$
1|qvm-check mail|
X
done_testing
