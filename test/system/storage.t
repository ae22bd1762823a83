#!/bin/sh
# SPDX-License-Identifier: ISC
# Volumes: a template made from a directory, AppVMs of it, what is kept and what is thrown away.
. "${0%/*}/../tap.sh"
in_house "$@"
local_only 'test/xen/storage.t has images'

var=/var/lib/qubes
q() { qvm-run -p "$@" 2>&1; }
root() { qvm-run -p -u root "$@" 2>&1; }
prop() { qvm-volume info "$1" "$2"; }
stop() { qvm-shutdown --wait "$@"; }
log() { cat "/var/log/qubes/$1/vm/current"; }

# A small root: a shell and what a few lines of it need, from this machine.
tmp=$(mktemp -d)
chmod 755 "$tmp"
tree=$tmp/tree
mkdir -p $tree/bin $tree/lib64 $tree/etc $tree/usr/bin $tree/tmp $tree/opt/deep/er
ln -s ../bin/sh $tree/usr/bin/sh
for p in bash sh cat ls touch mkdir rm id stat chmod ln sleep df; do
	cp -L "$(command -v $p)" $tree/bin/
	for l in $(ldd "$(command -v $p)" | grep -o '/[^ ]*'); do
		mkdir -p "$tree${l%/*}"
		cp -nL "$l" "$tree$l" 2>/dev/null || [ -e "$tree$l" ]
	done
done
printf 'one\n' >$tree/etc/version
printf 'root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000:user:/home/user:/bin/sh\n' >$tree/etc/passwd
chmod 4755 $tree/bin/id
chown 1000:1000 $tree/opt/deep
ln $tree/etc/version $tree/etc/version.hard
ln -s /etc/version $tree/opt/link
mkfifo $tree/opt/fifo
mknod $tree/opt/null c 1 3
truncate -s 64M $tree/opt/sparse
setfattr -n user.note -v kept $tree/etc/version 2>/dev/null

# A template made from a directory.
is "$(rc qvm-template-import)" 2 'qvm-template-import: usage'
is "$(rc qvm-template-import /nonexistent t)" 1 'no such directory'
is "$(rc qvm-template-import $tree/etc/version t)" 1 'a file is not a directory'
is "$(rc qvm-template-import $tree no/name)" 1 'a bad name'
is "$(ls -A $var/vm-templates)" '' 'and nothing is left of these'
out=$(qvm-template-import $tree t 2>&1)
is "$?$out" 0 'qvm-template-import DIR NAME'
is "$(rc qvm-template-import $tree t)" 1 'the name is taken'
is "$(qvm-prefs t klass)" TemplateVM 'it is a TemplateVM'
printf 'qrexec_timeout = 10\n' >>/etc/qubes/vm.d/t
top=$var/vm-templates/t/root/
is "$(stat -c '%u:%g %a' $top/bin/id $top/opt/deep | tr '\n' ' ')" '2000000000:2000000000 4755 2000001000:2000001000 755 ' 'owners are shifted, setuid stays with them'
is "$(stat -c %h $top/etc/version)" 2 'hard links stay'
is "$(readlink $top/opt/link)" /etc/version 'links stay what they are'
ok "$([ ! -e $top/opt/null ] && [ -p $top/opt/fifo ]; echo $?)" 'no devices; pipes'
is "$(stat -c %b $top/opt/sparse)" 0 'holes stay'
is "$(find $var/vm-templates/t/root/ -uid 0 | wc -l)" 0 "nothing in it is root's"

# Three AppVMs of it.
for n in a b c; do qvm-create -l blue -t t $n; done
is "$(ls -A $var/appvms | grep -v lock | tr '\n' ' ')" 'a b c ' 'qvm-create made their volumes'
out=$(qvm-start a b c 2>&1)
is "$?$out" 0 'they start'
for n in a b c; do q $n "echo private of $n >/rw/home/user/f; cat /etc/version" >$tmp/out.$n; done
is "$(cat $tmp/out.a $tmp/out.b $tmp/out.c | tr '\n' ' ')" 'one one one ' "they have the template's root"
is "$(q a 'cat /home/user/f')" 'private of a' 'the home is the private volume'
is "$(q a 'id -u; stat -c %u /bin/id /opt/deep /rw/home/user /etc' | tr '\n' ' ')" '0 0 1000 1000 0 ' 'owners in the qube; setuid works there'
is "$(root a 'echo x >/usr/bin/new && echo changed >/etc/version && cat /etc/version && rm /etc/version.hard && echo ok' | tr '\n' ' ')" 'changed ok ' 'its root may write everything'
is "$(cat $top/etc/version) $(ls $top/usr/bin $top/etc | grep -c 'new\|hard')" 'one 1' 'the template is as it was'
is "$(q b 'cat /etc/version')" one 'and so is what another sees'
is "$(readlink $var/appvms/a/root)" ../../vm-templates/t/root@1 'its link says which state it uses'
stop a b c
is "$(ls -A $var/appvms/a | tr '\n' ' ')" 'private private@1 ' 'after its end only private is there'
qvm-start a b c
is "$(for n in a b c; do q $n 'cat /home/user/f'; done | tr '\n' ' ')" 'private of a private of b private of c ' 'private volumes are kept over a restart'
is "$(q a 'cat /etc/version; [ -e /usr/bin/new ] || echo no' | tr '\n' ' ')" 'one no ' 'changes of the root are thrown away'

# The template changes.
qvm-start t
is "$(root t 'echo two >/etc/version; echo new >/usr/bin/added; chmod 4755 /usr/bin/added; cat /etc/version; stat -c %u /etc/version' | tr '\n' ' ')" 'two 0 ' "a running template's root may write its root"
is "$(q t 'echo x >/etc/version' | grep -c -i denied)" 1 'its user may not'
is "$(q b 'cat /etc/version') $(prop b:root is_outdated)" 'one False' 'no other qube sees it before its shutdown'
stop b
qvm-start b
is "$(q b 'cat /etc/version')" one 'neither after a restart'
stop t
is "$(q a 'cat /etc/version') $(prop a:root is_outdated)" 'one True' 'who runs is outdated and goes on'
stop a b c
is "$(prop a:root is_outdated)" False 'who does not run is not'
qvm-start a b c
is "$(for n in a b c; do q $n 'cat /etc/version'; done | tr '\n' ' ')" 'two two two ' 'all see it after their restart'
is "$(q a 'stat -c "%u %a" /usr/bin/added')" '0 4755' 'with its owner and mode'
is "$(ls -d $var/vm-templates/t/root@* | grep -o 'root@.*' | tr '\n' ' ')" 'root@1 root@2 ' 'the former state is kept'
find $var/vm-templates/t/ ! -uid 0 \( -uid -2000000000 -o -uid +2000065535 \) | grep -q . && ok 1 'nobody else owns anything' || ok 0 'nobody else owns anything'

# Former states.
like "$(qvm-volume list t)" "^file:vm-templates/t/root +t +root +Yes$" 'qvm-volume list: revert is possible'
like "$(qvm-volume info t:root)" '^1@20..-..-..T..:..:..Z$' 'info lists it'
is "$(rc qvm-volume revert t:root 7)" 1 'no such former state'
out=$(qvm-volume revert t:root 1 2>&1)
is "$?$out" 0 'revert'
is "$(prop a:root is_outdated)" True 'who runs is outdated then'
stop b
qvm-start b
is "$(q b 'cat /etc/version') $(q a 'cat /etc/version')" 'one two' 'who is restarted has the former state'
qvm-volume revert t:root
stop b
qvm-start b
is "$(q b 'cat /etc/version')" two 'and back again'

# A crash of the template: nothing of it is lost, and nobody sees it.
qvm-start t
root t 'echo three >/etc/version' >/dev/null
qvm-kill t
like "$(log t)" 'was not shut down: what it wrote to its root is kept' 'a killed template: it says so'
stop b
qvm-start b
is "$(q b 'cat /etc/version')" two 'a killed template is not committed'
qvm-start t
is "$(root t 'cat /etc/version')" three 'it goes on from what it had written'
pid=$(svpid /run/qubes/s6/vm/instance/t)
kill -9 "$pid"
until_true test "$(svpid /run/qubes/s6/vm/instance/t)" != "$pid"
LIMIT=20 until_true grep -q adopts /var/log/qubes/t/vm/current
is "$(root t 'cat /etc/version')" three 'a killed keeper: the template runs on'
is "$(rc qvm-volume revert t:root)$(rc qvm-volume resize t:root 20G)" 11 'and nobody else may change its volumes'
stop t
stop b
qvm-start b
is "$(q b 'cat /etc/version')" three 'an adopted template is committed as well'
qvm-start t
stop t
is "$(cd $var/vm-templates/t && echo root@*)" 'root@2 root@3 root@4' 'a state that somebody uses stays'
is "$(q a 'cat /etc/version')" two 'it does'
stop a b c
qvm-start t
stop t
is "$(ls -d $var/vm-templates/t/root@* | wc -l)" 2 'as many former states as revisions_to_keep says'

# A restart from inside.
qvm-start t
is "$(rc qvm-start --skip-if-running t)" 0 'runs'
stop t

# Sizes.
is "$(prop a:private size)" $((2048 * 1048576)) 'size'
out=$(qvm-volume resize a:private 3G 2>&1)
is "$?$out $(prop a:private size) $(qvm-prefs a private_size)" "0 $((3 << 30)) 3072" 'resize'
like "$(qvm-volume resize a:private 1G 2>&1)" shrink 'not smaller'
is "$(rc qvm-volume resize a:private x)" 2 'a bad size: usage'
is "$(rc qvm-volume resize a:root 20G)" 1 "an AppVM's root is its template's"
is "$(rc qvm-volume info a:nosuch) $(rc qvm-volume info nosuch:root) $(rc qvm-volume info a)" '1 1 2' 'qvm-volume: exit codes'
is "$(qvm-volume info a:private | sed -n 's/ .*//; /^List/!p' | tr '\n' ' ')" 'pool vid rw source save_on_stop snap_on_start size usage revisions_to_keep ephemeral is_outdated ' 'info: its lines'
is "$(prop a:root source)" vm-templates/t/root 'the source of a snapshot'
is "$(qvm-volume list a | wc -l)" 5 'four volumes'

# A disposable: its private volume is a snapshot that is thrown away.
printf 'template_for_dispvms = true\n' >>/etc/qubes/vm.d/a
printf 'type = DispVM\ntemplate = a\nlabel = red\n' >/etc/qubes/vm.d/disp1
qvm-start disp1
is "$(q disp1 'cat /home/user/f /etc/version; echo gone >/home/user/f; cat /home/user/f' | tr '\n' ' ')" 'private of a three gone ' "it has its AppVM's private volume"
is "$(prop disp1:private snap_on_start) $(prop disp1:private source)" 'True appvms/a/private' 'as a snapshot'
out=$(qvm-start a 2>&1)
is "$?$out" 0 'its AppVM may run meanwhile'
stop disp1
is "$(ls -A $var/appvms/disp1)" '' 'nothing of it is left'
is "$(q a 'cat /home/user/f')" 'private of a' 'and its AppVM has its own'
like "$(qvm-start disp1 2>&1)" 'shut it down first' 'an AppVM that runs is not copied while it writes'
stop a
qvm-start disp1
is "$(q disp1 'cat /home/user/f')" 'private of a' 'the next one is as the first'
stop disp1
rm /etc/qubes/vm.d/disp1

# Names that are used again (QSB-050).
qvm-remove -f c
is "$(ls -A $var/appvms | grep -c '^.\?c')" 0 'qvm-remove leaves nothing'
qvm-create -l red -t t c
qvm-start c
is "$(q c 'ls -A /home/user')" '' 'QSB-050: a name that is used again has an empty private volume'
stop c
q c 'echo c >/home/user/f' >/dev/null
stop c
rm /etc/qubes/vm.d/c
qvm-create -l red -t t c
is "$(q c 'ls -A /home/user')" '' 'QSB-050: also when its file was removed by hand'
is "$(cat $var/appvms/.c.orphan-1/private/home/user/f)" c 'and nothing is lost then'
stop c

# Clones.
qvm-clone a d
is "$(q d 'cat /home/user/f; cat /etc/version' | tr '\n' ' ')" 'private of a three ' 'a clone has the private volume'
q d 'echo other >/home/user/f' >/dev/null
stop d
is "$(q a 'cat /home/user/f')" 'private of a' 'of its own'
is "$(rc qvm-clone a e)" 1 'one that runs is not cloned'
stop a
out=$(qvm-clone t t2 2>&1)
is "$?$out" 0 'a clone of a template'
printf 'template = t2\nlabel = red\n' >/etc/qubes/vm.d/byhand
is "$(q byhand 'cat /etc/version; echo hello >/home/user/h')" three 'a file written by hand: its volumes are made'
stop byhand
is "$(q byhand 'cat /home/user/h')" hello 'and kept'
stop byhand

# A person of group qubes makes and removes qubes; what needs other owners is made at the first start, and what is
# left of it goes when startd starts.
person() { setpriv --reuid 4242 --regid 4242 --groups qubes "$@" 2>&1; }
like "$(person qvm-template-import $tree t3)" 'not permitted' 'only root imports'
like "$(person qvm-clone a e)" 'not permitted' 'and copies volumes'
for i in 1 2; do
	is "$(person qvm-create -l red -t t mine)" '' 'a person of group qubes makes a qube'
	is "$(q mine 'ls -A /home/user; echo x >/home/user/f')" '' 'its private volume is new'
	stop mine
	person qvm-remove -f mine >$tmp/out.mine
	is "$(rc qvm-check mine)$(ls $var/appvms | grep -c mine)" 10 'and removes it'
done
s6-svc -r /run/qubes/s6/startd
gone() { ! ls -A $var/appvms | grep -q 'mine'; }
until_true gone
ok $? 'nothing is left after startd has started'

# Two writers.
mkdir $tmp/shared
for n in w1 w2; do printf 'label = red\nname = %s\nprivate = %s/shared\n' $n $tmp >/etc/qubes/vm.d/$n; done
qvm-start w1
like "$(qvm-start w2 2>&1)" 'in use by another qube' 'a volume that another writes is refused'
stop w1
out=$(qvm-start w2 2>&1)
is "$?$out" 0 'and free after its end'
stop w2

# Files that are not root's alone name only what is below /var/lib/qubes.
chown 4242 /etc/qubes/vm.d/w1
like "$(qvm-start w1 2>&1)" 'may name only what is below' "a person's file may not name a path elsewhere"
mkdir $var/mine
ln -s $tmp/shared $var/appvms/trap
printf 'label = red\nprivate = %s\n' $var/appvms/trap >/etc/qubes/vm.d/w1
like "$(qvm-start w1 2>&1)" 'a link, and' 'nor by a link'
printf 'label = red\nprivate = %s\n' $var/mine >/etc/qubes/vm.d/w1
chown root /etc/qubes/vm.d/w1
chmod 666 /etc/qubes/vm.d/w1
out=$(qvm-start w1 2>&1)
is "$?$out" 0 'but what is below'
stop w1
# A command that is stopped while it has the lock of all volumes.
mkfifo $tmp/has $tmp/end
python3 -c "import fcntl, struct
f = open('$var/appvms/.lock', 'r+')
fcntl.fcntl(f, 37, struct.pack('hhqqi', fcntl.F_WRLCK, 0, 1, 1, 0))
open('$tmp/has', 'w').close(), open('$tmp/end').close()" &
: <$tmp/has
out=$(timeout 40 qvm-start a 2>&1)
is $? 1 'a command has the lock of all volumes and does not go on: a start does not wait for ever'
like "$out" 'appvms/.lock has been held by a command for 10 s: grep -l' 'and says what it waited for'
is "$(sh -c "$(echo "$out" | sed "s/.*\(grep -l.*\*\) says.*/\1/")" 2>/dev/null | cut -d / -f 3)" $! 'and how to find who has it'
: >$tmp/end
wait $!
is "$(rc qvm-start a)" 0 'then it starts'
stop a
# Links that a member of the group plants where storage works.
mkdir $tmp/precious
echo keep >$tmp/precious/f
ln -s $tmp/precious $var/appvms/.plant.new
ln -s $tmp/precious $var/appvms/plant
qvm-create -l red -t t plant >/dev/null 2>&1
qvm-remove -f plant >/dev/null 2>&1
rm -f $var/appvms/b/private
ln -s $tmp/precious $var/appvms/b/private
qvm-start b >/dev/null 2>&1
q b 'rm -rf /rw/*' >/dev/null
stop b
qvm-remove -f b
is "$(cat $tmp/precious/f)" keep 'planted links lead nowhere'

# A template that is removed while it is used.
qvm-start d
is "$(rc qvm-remove -f t)" 1 'a template with AppVMs is not removed'
qvm-remove -f byhand
rm /etc/qubes/vm.d/t2
s6-svc -r /run/qubes/s6/startd
until_true test -d $var/vm-templates/.t2.orphan-1
ok $? 'startd sweeps: volumes without a file are put aside'
is "$(q d 'cat /etc/version')" three 'nothing else changes'
stop d
rm -rf $var/vm-templates/.t2.orphan-1

# A hostile tree: deep, odd names, no modes. It is copied, and removed.
root_tree='d=/rw/x; i=0; mkdir $d; cd $d; while [ $i -lt 600 ]; do mkdir dddd && cd dddd || break; i=$((i+1)); done; touch "/rw/$(printf "a\nb")"; mkdir /rw/none; chmod 0 /rw/none; ln -s / /rw/slash; echo ok'
is "$(root d "$root_tree" | tail -n 1)" ok 'a deep tree'
stop d
is "$(rc qvm-clone d deep)" 0 'is copied'
qvm-remove -f deep d
is "$(ls -A $var/appvms | grep -c 'deep\|d$')" 0 'and removed'

# A full disk.
mkdir $tmp/small
kib=$(du -sk $tree | cut -f 1)
mount -t tmpfs -o "size=$((kib * 6 / 10))k,mode=755" small $tmp/small
qvm-shutdown --all --wait >/dev/null 2>&1
cp -a $var/qids $tmp/small/ && mount --bind $tmp/small $var
rm -f /etc/qubes/vm.d/[!.]*
/usr/bin/mkdir -m 2775 $var/appvms $var/vm-templates
before=$(cd $var && find . ! -name .lock | sort)
like "$(qvm-template-import $tree full 2>&1)" 'No space left' 'a full disk in the middle of an import'
is "$(cd $var && find . ! -name .lock | sort)$(ls /etc/qubes/vm.d)" "$before" 'leaves nothing'
mount -o "remount,size=$((kib * 16 / 10))k" $tmp/small
qvm-template-import $tree s
qvm-create -l red -t s s1
q s1 'echo kept >/home/user/f' >/dev/null
stop s1
like "$(qvm-start s 2>&1)" 'No space left' "a full disk at a template's start: refused, and it says why"
is "$(ls $var/vm-templates/s | tr '\n' ' ')" 'private private@1 root root@1 ' 'nothing half-made is there'
is "$(q s1 'cat /home/user/f')" kept 'its AppVM goes on'
q s1 'cat /dev/zero >/home/user/fill' >/dev/null 2>&1
stop s1
like "$(qvm-clone s1 s3 2>&1)" 'No space left' 'a full disk: no clone'
inodes=$(df --output=iused $var | tail -n 1)
for i in 1 2; do
	mount -o "remount,nr_inodes=$((inodes + i))" $tmp/small 2>/dev/null
	like "$(qvm-create -l red -t s s2 2>&1)" 'No space left' 'nor a new qube'
done
mount -o remount,nr_inodes=10000 $tmp/small
is "$(ls /etc/qubes/vm.d $var/appvms | grep -c 's[23]')" 0 'nothing of them is left'
is "$(root s1 'rm /home/user/fill; cat /home/user/f')" kept 'and nothing is lost'
stop s1
umount $var $tmp/small
rm -rf "$tmp"
done_testing
