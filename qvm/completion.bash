# SPDX-License-Identifier: ISC
# For bash: names of qubes, options, properties and the like. Loaded for each command under its own name.
_qvm() {
	local cmd=${COMP_WORDS[0]##*/} cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}
	local i words first='' place=0 # the first argument that is no option; which one this is

	for ((i = 1; i < COMP_CWORD; i++)); do
		[[ ${COMP_WORDS[i]} == -* ]] && continue
		((place++ == 0)) && first=${COMP_WORDS[i]}
	done
	case $prev in
	-l | --label) words='red orange yellow green gray blue purple black' ;;
	-C | --class) words=$(qvm-create --help-classes 2>/dev/null) ;;
	-t | --template) [[ $cmd == qvm-create ]] && words=$(qvm-ls --raw-list --class TemplateVM,AppVM 2>/dev/null) ;;
	-o | --format) words='simple network disk kernel prefs full' ;;
	-O | --fields | --sort) words=$(qvm-ls --help-columns 2>/dev/null) ;;
	-r | -R | --root-copy-from | --root-move-from)
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		return
		;;
	esac
	if [[ -z ${words-} && $cur == -* ]]; then
		words=$("$cmd" --help 2>/dev/null | grep -oE -- '--[a-z][a-z-]+' | sort -u)
	elif [[ -z ${words-} ]]; then
		case $cmd,$place in
		qubes-prefs,0) words=$(qubes-prefs --help-properties 2>/dev/null | cut -d ' ' -f 1) ;;
		qvm-prefs,1) words=$(qvm-prefs --help-properties "$first" 2>/dev/null | cut -d ' ' -f 1) ;;
		qvm-features,1) words=$(qvm-features "$first" 2>/dev/null | cut -d ' ' -f 1) ;;
		qvm-service,1) words=$(qvm-service "$first" 2>/dev/null | cut -d ' ' -f 1) ;;
		qvm-service,2) words='on off' ;;
		qvm-tags,1) words='list add del' ;;
		qvm-tags,*) words=$(if ((place == 0)); then qvm-ls --raw-list; else qvm-tags "$first"; fi 2>/dev/null) ;;
		qvm-create,* | qvm-clone,1) ;; # a new name
		qvm,0) words=$(qvm --help | sed -n 's/^  qvm-//p') ;;
		*) words=$(qvm-ls --raw-list 2>/dev/null) ;;
		esac
	fi
	mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
}
# shellcheck disable=SC2046
complete -F _qvm qvm $(qvm --help | sed -n 's/^  //p')
