#!/bin/sh
# SPDX-License-Identifier: ISC
# The commands that manage qubes: what they print and exit with, and what stays after whatever goes wrong.
. "${0%/*}/../tap.sh"
in_house "$@"
local_only "what the commands print is shown on Xen by transcripts.t, what they make by storage.t and test/xen"

vm=/etc/qubes/vm.d var=/var/lib/qubes
out=$O
case $out in /*) ;; *) out=$TOP/$O ;; esac
cut=$out/test/cut
err() { # COMMAND...: what it says on standard error
	{ "$@" >/dev/null; } 2>&1
}
left() { # NAME: all that there is of it, hidden or not, on one line
	find $vm $var/appvms $var/vm-templates -maxdepth 1 -name "*$1*" 2>/dev/null | sort | tr '\n' ' '
}

# --- usage: 2, help: 0
for tool in qubes-prefs qvm-check qvm-clone qvm-create qvm-features qvm-kill qvm-ls qvm-pause qvm-prefs qvm-remove \
    qvm-service qvm-shutdown qvm-start qvm-tags qvm-unpause; do
	is "$(rc $tool --nosuch)" 2 "$tool --nosuch: 2"
	like "$($tool --help)" "^usage: $tool" "$tool --help"
	like "$($tool --version)" "^$tool " "$tool --version"
	case $tool in qvm-ls | qubes-prefs) ;; *) is "$(rc $tool)" 2 "$tool without arguments: 2" ;; esac
done
is "$(rc qvm nosuch)" 2 'qvm nosuch: 2'
is "$(qvm ls --raw-list)" "$(qvm-ls --raw-list)" 'qvm ls is qvm-ls'

# --- qvm-create
table 3<<'X'
0|qvm-create -C TemplateVM -l black --property root=/ tpl|^$
0|qubes-prefs default_template tpl|^$
0|qvm-create -l blue work|^$
0|qvm-create --class AppVM --label=red --template tpl --prop provides_network=on --prop memory=500 net|
0|qvm-create -l green --prop netvm=net --prop template_for_dispvms=True mail|
0|qvm-create --disp -t mail one-off|
0|qvm-create -C RemoteVM -l gray far|
1|qvm-create -l blue work|^qvm-create: work: there is a qube of this name already
1|qvm-create -l mauve x|label: not red, orange, yellow
1|qvm-create -l red -t nosuch x|^qvm-create: template: no such domain: nosuch
1|qvm-create -l red -t work x|^qvm-create: work: not a TemplateVM
1|qvm-create --disp -t work x|template_for_dispvms true
1|qvm-create -C TemplateVM -t tpl -l red x|has no template
1|qvm-create -l red --prop netvm=work x|provides no network
1|qvm-create -l red --prop memory=1 x|memory: not a number of MiB
1|qvm-create -l red --prop netvm=x x|no such domain: x
3|qvm-create -l red -r /etc/hostname x|no root of its own
2|qvm-create x|--label is mandatory
2|qvm-create -l red|name is missing
2|qvm-create -l red x y|one name
2|qvm-create -l red -C Nosuch x|no such class
2|qvm-create -l red --prop memmory=500 x|no such property: memmory .memory is meant
2|qvm-create -l red --prop memory x|NAME=VALUE
2|qvm-create -l red --prop updatevm=work x|property of the machine
2|qvm-create -l red -P lvm x|one pool
3|qvm-create -l red -C StandaloneVM -r /nosuch x|nosuch|No such
X
is "$(left x)" '' 'nothing is left of those that failed'
is "$(cat $vm/mail | grep -v ^uuid | tr '\n' ';')" 'type = AppVM;label = green;template = tpl;netvm = net;template_for_dispvms = true;' 'the file of a qube'
is "$(qvm-prefs one-off label) $(qvm-prefs one-off netvm)" 'green net' 'QSB-047: a disposable has the network of its base, not the machine'"'"'s'
uuid=$(qvm-prefs work uuid)
like "$uuid" '^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$' 'a random UUID'

# --- names of every kind of wrong
for name in '' ' ' . .. .x -x 1x x/y ../x 'x y' 'x
y' "$(printf 'x\033[31m')" none default Domain-0 dom0 defaults x-dm @dispvm '$adminvm' x: 'x*' ä \
    abcdefghijklmnopqrstuvwxyz123456; do
	said=$(qvm-create -l red -- "$name" 2>&1)
	is $? 1 "qvm-create of $(printf %s "$name" | tr '\n\033' '??'): 1"
	like "$said" 'not a qube.s name' 'says why'
	is "$(printf %s "$said" | tr -d '\n' | tr -d '\040-\176')" '' 'and nothing that a terminal would take'
	for cmd in qvm-prefs qvm-tags qvm-features qvm-service 'qvm-remove -f' qvm-start qvm-kill qvm-pause qvm-check; do
		case $name,$cmd in dom0,*) continue ;; esac
		# shellcheck disable=SC2086
		is "$(rc $cmd -- "$name")" 1 "$cmd of it: 1"
	done
done
# shellcheck disable=SC2012
is "$(ls $vm | tr '\n' ' ')" 'defaults far mail net one-off tpl work ' 'nothing came of them'

# --- qvm-prefs, qubes-prefs
qubes-prefs default_dispvm work 2>/dev/null # none of them is a template of disposables
is "$(qvm-prefs one-off default_dispvm)" mail 'QSB-047: and its disposables are of the same kind'
like "$(qvm-prefs work)" '^label +-  blue$' 'qvm-prefs: set by itself'
like "$(qvm-prefs work)" '^memory +D  400$' 'qvm-prefs: inherited'
like "$(qvm-prefs work)" '^netvm +D  None$' 'qvm-prefs: none'
is "$(qvm-prefs --hide-default work | awk '{ print $1 }' | tr '\n' ' ')" 'label template uuid ' '--hide-default'
like "$(qvm-prefs --help-properties work)" '^klass +str, cannot be set$' '--help-properties'
printf '# mine\nmemory = 300 # enough\n' >$vm/edited
table 3<<'X'
0|qvm-prefs edited memory 350|^$
0|qvm-prefs edited memory|^350$
0|qvm-prefs edited vcpus 4|^$
0|qvm-prefs edited debug on|
0|qvm-prefs edited debug|^True$
0|qvm-prefs -D edited vcpus|
0|qvm-prefs edited vcpus|^2$
0|qvm-prefs --get edited label|^red$
0|qvm-prefs -s edited label orange|
0|qvm-prefs edited netvm net|
0|qvm-prefs edited netvm none|
0|qvm-prefs edited netvm|^None$
0|qvm-prefs edited netvm ''|
0|qvm-prefs edited private_size 4G|
0|qvm-prefs edited private_size|^4096$
1|qvm-prefs edited memory lots|memory: not a number of MiB from 32
1|qvm-prefs edited memory '64 # x'|may not hold #
1|qvm-prefs edited kernelopts "$(printf 'a\nlabel = red')"|one line
1|qvm-prefs edited klass TemplateVM|cannot be set
1|qvm-prefs edited name other|cannot be set
1|qvm-prefs edited netvm nosuch|no such domain: nosuch
1|qvm-prefs edited netvm work|work: provides no network
1|qvm-prefs edited template work|not a TemplateVM
1|qvm-prefs edited default_dispvm work|template_for_dispvms
1|qvm-prefs net provides_network False|^qvm-prefs: net: the netvm of mail
1|qvm-prefs mail template_for_dispvms False|mail: the template of one-off
1|qvm-prefs nosuch|no such domain: nosuch
2|qvm-prefs edited memmory|no such property: memmory .memory is meant
2|qvm-prefs edited nosuch 1|no such property of edited: nosuch
2|qvm-prefs edited tags a|qvm-tags
2|qvm-prefs edited memory 1 2|more than one
2|qvm-prefs -D edited|one property
0|qubes-prefs default_dispvm mail|
0|qubes-prefs default_dispvm|^mail$
0|qubes-prefs clockvm net|
1|qubes-prefs default_netvm work|provides no network
1|qubes-prefs default_template work|not a TemplateVM
2|qubes-prefs label red|no such property
X
is "$(tr '\n' ';' <$vm/edited)" '# mine;memory = 350 # enough;debug = true;label = orange;netvm = ;private_size = 4G;' 'comments and order stay'
like "$(qubes-prefs)" '^default_template +-  tpl$' 'qubes-prefs: the list'
echo 'lable = red' >$vm/edited
table 3<<'X'
1|qvm-prefs edited|vm.d/edited:1: unknown key lable .label is meant
0|qvm-ls edited|vm.d/edited:1: unknown key lable .label is meant
1|qvm-start edited|vm.d/edited:1: unknown key lable
X
rm $vm/edited

# --- loops of netvms: when set, and when read
table 3<<'X'
0|qvm-create -l red --prop provides_network=1 --prop netvm=net fw|
0|qvm-create -l red --prop provides_network=1 --prop netvm=fw vpn|
1|qvm-prefs net netvm net|netvm: a loop
1|qvm-prefs net netvm fw|netvm: a loop: net is its own netvm by way of fw
1|qvm-prefs net netvm vpn|netvm: a loop: net is its own netvm by way of fw
0|qvm-prefs net netvm|^None$
1|qubes-prefs default_netvm nosuch|no such domain
X
echo 'netvm = vpn' >>$vm/net
like "$(err qvm-ls)" "^$vm/net:[0-9]+: netvm: a loop: net is its own netvm by way of fw" 'by hand: qvm-ls says FILE:LINE'
is "$(rc qvm-start net)" 1 'and none of them starts'
sed -i '/^netvm/d' $vm/net
qvm-remove -f vpn fw
is "$(qvm-ls --raw-list fw 2>&1)" 'qvm-ls: no such domain: fw (qvm-ls lists them)' 'two removed together, the netvm after its client'

# --- qvm-tags, qvm-features, qvm-service
table 3<<'X'
0|qvm-tags work|^$
0|qvm-tags work add b a|^$
0|qvm-tags work list|^b
0|qvm-tags work list a|^a$
1|qvm-tags work list c|^$
0|qvm-tags work del b nosuch|^$
1|qvm-tags work add 'x y'|not a tag
1|qvm-tags work add x,y|a tag may hold
2|qvm-tags work add|which tag
2|qvm-tags work nosuch x|not list, add or del
1|qvm-tags nosuch|no such domain
0|qvm-features work|^$
0|qvm-features work os Linux|^$
0|qvm-features work empty ''|^$
0|qvm-features work os|^Linux$
0|qvm-features work empty|^$
1|qvm-features work nosuch|^$
0|qvm-features --unset work empty|
1|qvm-features work empty|^$
1|qvm-features work 'a b' 1|not a key
1|qvm-features work x "$(printf %01100d 0)"|longer than 1024
2|qvm-features -D work os 1|FEATURE
0|qvm-service work cups on|^$
0|qvm-service work cups|^on$
0|qvm-service -d work cups|^$
1|qvm-service work cups|^off$
0|qvm-service work|^cups  off$
0|qvm-service -e work ntp|
0|qvm-service -D work cups|
1|qvm-service work cups|^$
2|qvm-service work cups maybe|not on or off
X
is "$(qvm-tags work)" a 'the tags'
is "$(qvm-features work)" 'os           Linux
service.ntp  1' 'qvm-features: the list'

# --- qvm-ls
like "$(qvm-ls | head -n 1)" '^NAME +STATE +CLASS +LABEL +TEMPLATE +NETVM$' 'qvm-ls: the table'
like "$(qvm-ls)" '^mail +Halted +AppVM +green +tpl +net$' 'qvm-ls: a line'
like "$(qvm-ls)" '^dom0 +Running +AdminVM +black +- +-$' 'qvm-ls: none is -'
is "$(qvm-ls --raw-list | tr '\n' ' ')" 'dom0 far mail net one-off tpl work ' '--raw-list'
is "$(qvm-ls --raw-data --fields name,netvm,memory mail)" 'mail|net|-' '--raw-data --fields'
is "$(qvm-ls --raw-data -O NAME,provides-network,maxmem net)" 'net|True|0' 'any property is a column'
is "$(qvm-ls --raw-list --class TemplateVM,RemoteVM | tr '\n' ' ')" 'far tpl ' '--class'
is "$(qvm-ls --raw-list --tags a nosuch)" work '--tags takes several words'
is "$(qvm-ls --raw-list --features os=Linux --halted)" work '--features'
is "$(qvm-ls --raw-list --prefs netvm=net provides_network=False | tr '\n' ' ')" 'mail one-off ' '--prefs'
is "$(qvm-ls --raw-list --label green --exclude one-off)" mail '--label --exclude'
is "$(qvm-ls --raw-list --sort label --class AppVM | tr '\n' ' ')" 'work mail net ' '--sort'
is "$(qvm-ls --raw-list --sort label --reverse-sort --class AppVM | tr '\n' ' ')" 'net mail work ' '--reverse-sort'
like "$(qvm-ls -t --fields name,label)" '^..?.?.?.?.?mail +green$' '--tree'
is "$(qvm-ls --tree --raw-list net mail | tr '\n' ' ')" 'net mail ' '--tree: each below its netvm'
for f in simple network disk kernel prefs full; do
	like "$(qvm-ls --format $f | head -n 1)" '^NAME ' "--format $f"
done
like "$(qvm-ls -d work)" '^work +Halted +[0-9]+ +[0-9]+ +2048 ' 'sizes in MiB'
table 3<<'X'
2|qvm-ls --format nosuch|no such format
2|qvm-ls --fields nosuch|no such field
2|qvm-ls --sort nosuch|no such field
1|qvm-ls nosuch|no such domain: nosuch
0|qvm-check work net|^qvm-check: work: exists
0|qvm-check -q work|^$
1|qvm-check work nosuch|no such domain
1|qvm-check --running work net|^$
3|qvm-check --template work tpl|^qvm-check: tpl: is a template
3|qvm-check --networked work mail|^qvm-check: mail: is networked
0|qvm-check --running dom0|
X
n=0
for q in $(qvm-ls --raw-list); do n=$((n + 1)); done
is "$(qvm-ls --raw-list | while read -r q; do qvm-check -q "$q" && echo x; done | wc -l)" $n 'qvm-ls | while read; qvm-check'
is "$(qvm-ls --raw-data -O name,class | grep '|AppVM$' | cut -d '|' -f 1 | sort | tr '\n' ' ')" 'mail net work ' 'grep, cut, sort'
is "$(qvm-ls >/dev/full 2>/dev/null; echo $?)" 1 'a full disk behind standard output: 1'

# --- start, pause, shutdown, kill, remove
qubes live
table 3<<'X'
1|qvm-start live|live: already running
0|qvm-start --skip-if-running live|^$
1|qvm-start dom0|always runs
1|qvm-start --cdrom a:b live|not served
0|qvm-pause live|^$
0|qvm-check --paused live|live: is paused
1|qvm-start live|paused .qvm-unpause
0|qvm-unpause live|^$
1|qvm-pause dom0|dom0: cannot be paused
1|qvm-pause work|work: not running
1|qvm-unpause work|work: not paused
1|qvm-kill dom0|dom0: cannot be killed
1|qvm-kill work|work: not running
1|qvm-remove -f live|live: runs .qvm-shutdown --wait live, or qvm-kill live
1|qvm-clone live copy|live runs
0|qvm-shutdown --dry-run live|^live$
2|qvm-shutdown --timeout x live|--timeout
1|qvm-shutdown dom0|dom0: cannot be shut down
2|qvm-shutdown --all live|not both
2|qvm-shutdown --exclude live work|only be used with --all
0|qvm-shutdown --wait --timeout 30 live|^$
0|qvm-shutdown --wait live|^$
0|qvm-start live|
0|qvm-kill live|^$
1|qvm-check --running live|
1|qvm-remove live </dev/null|
1|qvm-remove -f dom0|dom0 cannot be removed
1|qvm-remove -f tpl|tpl: the template of work .qvm-prefs work template OTHER
1|qvm-remove -f net|net: the netvm of mail
1|qvm-remove -f mail|mail: the template of one-off
1|qvm-remove -f nosuch|no such domain
X
like "$(echo n | qvm-remove live)" 'Are you sure. .y/N.' 'qvm-remove asks'
is "$(echo n | rc qvm-remove live)" 1 'no: 1'
is "$(echo y | rc qvm-remove live)" 0 'yes: 0'
is "$(left live)" '' 'a removed qube leaves nothing'

# A netvm in use.
printf 'provides_network = true\n' >$vm/gate && printf 'netvm = gate\n' >$vm/client
qvm-start client
table 3<<'X'
1|qvm-shutdown gate|gate: the netvm of client, which runs
1|qvm-shutdown --wait gate|gate: the netvm of client, which runs
0|qvm-shutdown --wait gate client|^$
X
is "$(qvm-ls --raw-list --running)" dom0 'both are down, the client first'
qvm-remove -f gate client

# What a running qube's file says counts at its next start.
qubes live
printf 'label = green\ndefault_user = nobody-else\n' >$vm/live
is "$(rc qvm-prefs live memory 500)" 0 'a file that was edited while its qube runs is edited further'
is "$(rc qvm-prefs live template tpl)" 1 'but not its template'
is "$(tr '\n' ';' <$vm/live)" 'label = green;default_user = nobody-else;memory = 500;' 'and nothing of it is lost'
qvm-kill live
qvm-remove -f live

# Who is made is heard of at once, and who keeps a template busy is said.
qvm-create -l red --prop template_for_dispvms=1 --prop preload=1 warm
kept() { ls /run/qubes/state/.preload 2>/dev/null | grep -m 1 '^disp'; }
until_true kept
disp=$(kept)
like "$disp" '^disp[0-9]+$' 'preload of a qube that has just been made'
qvm-run -p --dispvm=warm 'qubesdb-read /name; sleep 1000' </dev/null >/tmp/said.$$ &
caller=$!
named() { grep -q disp /tmp/said.$$; }
until_true named
disp=$(cat /tmp/said.$$)
like "$(err qvm-remove -f warm)" "warm: the template of $disp, a disposable .qvm-kill $disp ends it.$" "somebody's disposable keeps it"
kill $caller
is_gone() { [ ! -e "$vm/$disp" ] && kept >/dev/null; }
until_true is_gone
is "$(rc qvm-remove -f warm)" 0 "one that is kept ready, and nobody's, does not"
none_left() { [ -z "$(left warm)$(left disp)" ] && ! kept; }
until_true none_left
is "$(left warm)$(left disp)" '' 'it goes, too'
rm -f /tmp/said.$$

# --- QSB-050: a name that is used again brings nothing back
local_private=$var/appvms/again/private
qvm-create -l red again
first=$(qvm-prefs again uuid)
find $var/appvms/again -mindepth 1 >/dev/null
mkdir -p $var/appvms/again/left-over && echo secret >$var/appvms/again/left-over/f
[ ! -d "$local_private/" ] || echo secret >"$local_private/secret"
qvm-remove -f again
is "$(left again)" '' 'QSB-050: the volumes of a removed qube are gone'
qvm-create -l red again
is "$(grep -rl secret $var/appvms/ 2>/dev/null)" '' 'QSB-050: a qube of the same name gets fresh ones'
ok "$([ "$(qvm-prefs again uuid)" != "$first" ]; echo $?)" 'QSB-050: and another UUID'
# Its file was removed by hand: what it had is not the next one's, either.
[ ! -d "$local_private/" ] || echo secret >"$local_private/secret"
rm $vm/again
qvm-create -l red again
is "$(grep -rl secret $var/appvms/again 2>/dev/null)" '' 'QSB-050: nor after its file was removed by hand'
qvm-remove -f again
find $var/appvms -maxdepth 1 -name '.again*' -exec rm -rf {} +

# --- many at once
for i in 1 2 3 4 5 6; do
	(qvm-create -l red race 2>/dev/null && echo $i) &
done >/tmp/won.$$
wait
is "$(wc -l </tmp/won.$$)" 1 'six creates of one name: one wins'
rm /tmp/won.$$
for i in 1 2 3 4 5 6; do
	(
		for j in 1 2 3 4 5; do
			qvm-features race "f$i-$j" $j && qvm-tags race add "t$i-$j"
		done
		qvm-prefs race "$(echo 'memory vcpus debug label autostart private_size' | cut -d ' ' -f $i)" \
		    "$(echo '333 3 true green true 77' | cut -d ' ' -f $i)"
	) &
done
wait
is "$(qvm-features race | wc -l) $(qvm-tags race | wc -l)" '30 30' 'six people change one file: nothing is lost'
is "$(qvm-ls --raw-data -O memory,vcpus,debug,label,autostart,private_size race)" '-|3|True|green|True|77' 'nor of what each set'
# A template is removed while others make qubes of it: either it stays, or they are refused.
for i in 1 2 3 4 5 6 7 8 9 10; do
	qvm-create -C TemplateVM -l black fleeting
	(qvm-create -l red -t fleeting user-of-it 2>/dev/null) &
	qvm-remove -f fleeting 2>/dev/null
	wait
	[ ! -e $vm/user-of-it ] || [ -e $vm/fleeting ] || { bad=1; break; }
	qvm-remove -f user-of-it fleeting >/dev/null 2>&1
done
is "${bad-0}" 0 'a template that a qube has just been made of is not removed'
qvm-remove -f race

# --- by people of group qubes, and by nobody else
if ! command -v setpriv >/dev/null; then
	skip 'people' 'no setpriv'
else
	gid=$(grep '^qubes:' /etc/group | cut -d : -f 3)
	person() { setpriv --reuid 4242 --regid 4242 --groups "$gid" "$@"; }
	stranger() { setpriv --reuid 4243 --regid 4243 --clear-groups "$@"; }
	table 3<<'X'
0|person qvm-create -l red theirs|^$
0|person qvm-prefs theirs memory 400|
0|person qvm-prefs work autostart True|
0|person qvm-prefs work autostart False|
1|person qvm-create -l red --prop private=/dev/sda evil|only root
1|person qvm-prefs theirs private /dev/sda|only root
1|person qvm-prefs theirs kernel /var/lib/qubes/../../boot|only root
1|stranger qvm-create -l red evil|only root and members of group qubes
1|stranger qvm-prefs work memory 400|only root and members of group qubes
1|stranger qvm-remove -f work|only root and members of group qubes
0|qvm-prefs theirs memory 401|
X
	is "$(stat -c %u $vm/theirs)" 4242 "root's change of a person's file leaves it theirs"
	is "$(rc qvm-prefs theirs private /dev/sda)" 1 'so that it still may not name a disk'
	is "$(left evil)" '' 'nothing came of what was refused'
	is "$(rc person qvm-remove -f theirs)" 0 'a person removes a qube'
	is "$(left theirs)" '' 'and nothing is left'
fi

# --- qvm-clone
echo '# by hand' >>$vm/mail
table 3<<'X'
0|qvm-clone mail mail2|^$
1|qvm-clone mail mail2|there is a qube of this name already
1|qvm-clone nosuch x|no such domain
1|qvm-clone dom0 x|dom0 cannot be copied
1|qvm-clone one-off x|a disposable: copy mail
1|qvm-clone -C StandaloneVM mail x|qvm-create --standalone
1|qvm-clone mail 1x|not a qube.s name
2|qvm-clone mail|names of a qube and of the new one
X
is "$(grep -v ^uuid $vm/mail2)" "$(grep -v ^uuid $vm/mail)" 'a copy says the same'
ok "$([ "$(qvm-prefs mail uuid)" != "$(qvm-prefs mail2 uuid)" ]; echo $?)" 'but for its UUID'
qvm-remove -f mail2

# --- a full disk, a power cut
qvm-create -C TemplateVM -l black big
qvm-create -l red -t big source
mkdir -p $var/appvms/source/
private=$(readlink -f $var/appvms/source/private)
head -c 3000000 /dev/urandom >"$private/blob"
# How much each needs is not our business: from none to enough, each ends whole or not at all.
bad=0
full() { # WHAT NAME COMMAND...: with so little room that it fails at some point
	what=$1 name=$2 ends='' failed=0
	shift 2
	for inodes in 2 3 4 5 6 7 8 9 10 12 14 16 40; do
		mount -t tmpfs -o size=8m,mode=2775,nr_inodes=$inodes small $var/appvms
		cp -a /tmp/kept.$$/. $var/appvms/ 2>/dev/null
		"$@" >/dev/null 2>/tmp/said.$$
		r=$?
		if [ $r = 0 ]; then
			ends=done
			[ -e "$vm/$name" ] || bad=1
			qvm-remove -f "$name" || bad=1
		else
			failed=$((failed + 1))
			[ ! -e "$vm/$name" ] && [ -s /tmp/said.$$ ] || bad=1
		fi
		[ -z "$(find $var/appvms -maxdepth 1 -name "*$name*")" ] || bad=1
		umount $var/appvms
		[ "$ends" != done ] || break
	done
	is "$ends" done "$what: with enough room it ends well"
	ok "$([ $failed -ge 2 ]; echo $?)" "$what: $failed times there was too little"
	is "${bad-0}" 0 "$what: before that it fails, and leaves nothing"
	bad=0
}
mkdir /tmp/kept.$$
full 'no inodes for create' filled qvm-create -l red filled
cp -a $var/appvms/. /tmp/kept.$$/
qvm-clone source copied && is "$(cmp "$private/blob" "$(readlink -f $var/appvms/copied/private)/blob" && echo same)" same 'a clone has what the qube had'
qvm-remove -f copied
mount -t tmpfs -o size=5m,mode=2775 small $var/appvms
cp -a /tmp/kept.$$/. $var/appvms/
said=$(qvm-clone source copied 2>&1)
is $? 1 'no room for a clone: 1'
like "$said" 'No space left on device: make room' 'and says so'
is "$(left copied)" '' 'and leaves nothing'
is "$(cmp "$private/blob" $var/appvms/source/private/blob && echo same)" same 'and takes nothing'
umount $var/appvms
rm -rf /tmp/kept.$$ /tmp/said.$$
# The directory of the files is full.
cp -a $vm /tmp/vm.$$
mount -t tmpfs -o size=64k,mode=2775 small $vm
chgrp qubes $vm
cp -a /tmp/vm.$$/. $vm/
dd if=/dev/zero of=$vm/.fill 2>/dev/null
sum=$(cat $vm/work $vm/mail | cksum)
said=$(qvm-create -l red filled 2>&1)
is $? 1 'no room for its file: 1'
like "$said" 'No space left' 'and says so'
is "$(left filled)" '' 'and leaves nothing, no volumes either'
is "$(rc qvm-prefs work kernelopts "$(printf %0500d 0)")" 1 'no room for a change: 1'
is "$(cat $vm/work $vm/mail | cksum)" "$sum" 'and the file is as it was'
umount $vm
rm -rf /tmp/vm.$$

# Power cut at every change of files. After it: the qube is there, whole, or it is not; the same
# command then does it, or says that it is done; nothing is left after a removal.
cuts() { # WHAT NAME PREPARE COMMAND
	what=$1 name=$2 n=1 was=0 whole=0 half=0
	while :; do
		eval "$3"
		$cut $n sh -c "$4" >/dev/null 2>&1
		r=$?
		[ $r = 0 ] || break # it came to its end before
		was=$((was + 1))
		if [ -e "$vm/$name" ]; then
			qvm-prefs "$name" label >/dev/null 2>&1 && whole=$((whole + 1)) || half=$((half + 1))
			qvm-ls -d "$name" >/dev/null 2>&1 || half=$((half + 1))
		fi
		# its volumes may be waiting under another name until somebody looks
		sh -c "$4" >/tmp/said.$$ 2>&1 || grep -q 'already\|no such' /tmp/said.$$ || half=$((half + 1))
		[ ! -e "$vm/$name" ] || qvm-remove -f "$name" || half=$((half + 1))
		n=$((n + 1))
		[ $n -lt 400 ] || break
	done
	is $half 0 "$what, cut at each of $was changes: never half"
	ok "$([ $was -ge 4 ]; echo $?)" "$what: it was cut"
	[ ! -e "$vm/$name" ] || qvm-remove -f "$name"
	# a create of the name clears what cuts left
	qvm-create -l red "$name" && qvm-remove -f "$name"
	/usr/lib/qubes/vmstart -s 2>/dev/null # as at the start of startd
	is "$(left "$name")" '' "$what: nothing is left at last"
}
cuts 'qvm-create' cutup : 'qvm-create -l red cutup'
cuts 'qvm-clone' cutup : 'qvm-clone source cutup'
cuts 'qvm-remove' cutup 'qvm-create -l red cutup' 'qvm-remove -f cutup'
cuts 'qvm-prefs' cutup 'qvm-create -l red cutup' 'qvm-prefs cutup memory 333'
is "$(cat "$private/blob" | wc -c)" 3000000 'and what others have is there'
rm -f /tmp/said.$$
# What is left by a cut, and whose name nobody uses again, goes when startd starts.
$cut 8 qvm-create -l red swept >/dev/null 2>&1
old=$(svpid /run/qubes/s6/startd)
s6-svc -r /run/qubes/s6/startd
is_swept() { [ -z "$(left swept)" ] && [ "$(svpid /run/qubes/s6/startd)" != "$old" ]; }
until_true is_swept
is "$(left swept)" '' 'swept at the next start of startd'
qvm-remove -f source big work mail one-off net far 2>/dev/null

# --- completion
if command -v bash >/dev/null; then
	complete_() { # WORDS...: what bash offers for the last one
		bash -c '. "$0"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _qvm; printf "%s\n" "${COMPREPLY[@]}"' \
		    /usr/share/bash-completion/completions/qvm-ls "$@" | tr '\n' ' '
	}
	qvm-create -l red work
	like "$(complete_ qvm-start w)" '^work $' 'completion: names'
	like "$(complete_ qvm-prefs work mem)" '^memory $' 'completion: properties'
	like "$(complete_ qvm-ls --raw)" '--raw-data --raw-list' 'completion: options'
	like "$(complete_ qvm-create -l pu)" '^purple $' 'completion: labels'
else
	skip 'completion' 'no bash'
fi
done_testing
