#compdef qvm qubes-prefs -P qvm-*
# SPDX-License-Identifier: ISC
# For zsh: names of qubes, options, properties and the like.
local cmd=${words[1]:t} first= w i
integer place=0
local -a found

for ((i = 2; i < CURRENT; i++)); do
	w=${words[i]}
	[[ $w == -* ]] && continue
	((place++ == 0)) && first=$w
done
case ${words[CURRENT - 1]} in
-l | --label) found=(red orange yellow green gray blue purple black) ;;
-C | --class) found=(${(f)"$(qvm-create --help-classes 2>/dev/null)"}) ;;
-o | --format) found=(simple network disk kernel prefs full) ;;
-O | --fields | --sort) found=(${(f)"$(qvm-ls --help-columns 2>/dev/null)"}) ;;
-r | -R | --root-copy-from | --root-move-from)
	_files
	return
	;;
esac
if ((!$#found)) && [[ ${words[CURRENT]} == -* ]]; then
	found=(${(fu)"$($cmd --help 2>/dev/null | grep -oE -- '--[a-z][a-z-]+')"})
elif ((!$#found)); then
	case $cmd,$place in
	qubes-prefs,0) found=(${${(f)"$(qubes-prefs --help-properties 2>/dev/null)"}%% *}) ;;
	qvm-prefs,1) found=(${${(f)"$(qvm-prefs --help-properties $first 2>/dev/null)"}%% *}) ;;
	qvm-features,1) found=(${${(f)"$(qvm-features $first 2>/dev/null)"}%% *}) ;;
	qvm-service,1) found=(${${(f)"$(qvm-service $first 2>/dev/null)"}%% *}) ;;
	qvm-service,2) found=(on off) ;;
	qvm-tags,1) found=(list add del) ;;
	qvm-create,* | qvm-clone,1) ;; # a new name
	qvm,0) found=(${(f)"$(qvm --help | sed -n 's/^  qvm-//p')"}) ;;
	*) found=(${(f)"$(qvm-ls --raw-list 2>/dev/null)"}) ;;
	esac
fi
compadd -a found
