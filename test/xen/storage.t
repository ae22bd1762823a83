#!/bin/sh
# SPDX-License-Identifier: ISC
# Volumes as images, on real Xen: a template made from a directory, AppVMs of it, what is kept and thrown away.
. "${0%/*}/../tap.sh"
in_house "$@"
on_xen || { echo '1..0 # SKIP only on Xen'; exit 0; }

LIMIT=60
var=/var/lib/qubes
q() { qvm-run -p "$@" 2>&1; }
root() { qvm-run -p -u root "$@" 2>&1; }
stop() { qvm-shutdown --wait "$@"; }
loops() { find /sys/block/loop*/loop 2>/dev/null -maxdepth 0 | wc -l; }
log() { cat "/var/log/qubes/$1/vm/current"; }

qvm-kill vault third # room
before=$(loops)
# The minimal template's own files are a root.
tree=/var/tmp/tree
mkdir -p $tree
(cd $tree && cpio -i 2>/dev/null <$var/vm-kernels/minimal/initramfs; rm -rf init lib/modules usr/lib/qubes/*)
echo one >$tree/etc/version
out=$(qvm-template-import --property root_size=32 --property private_size=16 --property memory=96 $tree t 2>&1)
is "$?$out" 0 'qvm-template-import DIR NAME'
is "$(stat -c %s $var/vm-templates/t/root.img $var/vm-templates/t/private.img -L | tr '\n' ' ')" "$((32 << 20)) $((16 << 20)) " 'images of the sizes that its file says'
for n in a b; do qvm-create -l blue -t t --property private_size=16 --property volatile_size=16 --property memory=96 $n; done
out=$(qvm-start a b 2>&1)
is "$?$out" 0 'two AppVMs of it start' || log a
is "$(q a 'cat /etc/version')" one "it has the template's root"
is "$(q a 'mount' | grep -c ' on /rw type ext4')" 1 'its private volume: formatted by the qube at its first start'
q a 'echo mine >/rw/home/user/f' >/dev/null
is "$(root a 'echo x >/usr/bin/new; echo changed >/etc/version; cat /etc/version')" changed 'its root may write everything'
is "$(q b 'cat /etc/version')" one 'another does not see that'
is "$(root a 'blockdev --setrw /dev/xvda 2>/dev/null; dd if=/dev/zero of=/dev/xvda bs=512 count=1 conv=fsync 2>/dev/null && echo written || echo no')" no "the template's image is read-only to Xen"
is "$(readlink $var/appvms/a/root.img)" ../../vm-templates/t/root@1.img 'its link says which state it uses'
ok "$([ -s $var/appvms/a/volatile.img ]; echo $?)" 'it has a volatile volume'
stop a
is "$(ls $var/appvms/a | tr '\n' ' ')" 'private.img private@1.img ' 'after its end only private is there'
qvm-start a
is "$(q a 'cat /home/user/f /etc/version; [ -e /usr/bin/new ] || echo gone' | tr '\n' ' ')" 'mine one gone ' 'private is kept over a restart, the root thrown away'

# The template changes.
qvm-start t
is "$(root t 'echo two >/etc/version && sync && cat /etc/version')" two "a running template's root may write its root"
is "$(q b 'cat /etc/version')" one 'no other sees it'
stop b
qvm-start b
is "$(q b 'cat /etc/version')" one 'neither after a restart'
stop t
is "$(qvm-volume info a:root is_outdated)" True 'after its shutdown who runs is outdated'
is "$(q a 'cat /etc/version')" one 'and goes on'
stop a
stop b
qvm-start a
is "$(q a 'cat /etc/version')" two 'it is seen after a restart'
stop a
qvm-volume revert t:root
qvm-start a
is "$(q a 'cat /etc/version') $(qvm-volume info a:root is_outdated)" 'one False' 'qvm-volume revert'
stop a
qvm-volume revert t:root

# Killed, it goes on; nobody sees it.
qvm-start t
root t 'echo three >/etc/version; sync' >/dev/null
qvm-kill t
like "$(log t)" 'was not shut down: what it wrote to its root is kept' 'a killed template: it says so'
qvm-start a
is "$(q a 'cat /etc/version')" two 'and is not committed'
stop a
qvm-start t
is "$(root t 'cat /etc/version')" three 'it goes on from there'
stop t

# Sizes; a disposable.
is "$(rc qvm-volume resize a:private 24M) $(stat -Lc %s $var/appvms/a/private.img)" "0 $((24 << 20))" 'resize'
printf 'template_for_dispvms = true\n' >>/etc/qubes/vm.d/a
printf 'type = DispVM\ntemplate = a\nlabel = red\n' >/etc/qubes/vm.d/disp1
qvm-start disp1
is "$(q disp1 'cat /home/user/f /etc/version; echo gone >/home/user/f; cat /home/user/f' | tr '\n' ' ')" 'mine three gone ' "a disposable has a copy of its AppVM's private volume"
stop disp1
is "$(ls -A $var/appvms/disp1)" '' 'which is thrown away'
qvm-start a
is "$(q a 'cat /home/user/f')" mine "its AppVM's is as it was"
qvm-kill a
rm /etc/qubes/vm.d/disp1
qvm-remove -f a b t
is "$(ls -A $var/appvms $var/vm-templates | grep -c '^[abt]$')" 0 'removed'
until_true test "$(loops)" = "$before"
is "$(loops)" "$before" 'no loop device is left'
done_testing
