# bash completion for sbx. It asks sbx itself (sbx __complete), so it knows what this version knows, and names that exist now.
# Use: source <(sbx completion bash), or put it into ~/.local/share/bash-completion/completions/sbx
# shellcheck shell=bash

# _sbx_plain WORD: what the shell would make of a typed word, into the caller's variable `plain`: quotes and backslashes are
# taken away, nothing is run or expanded.
_sbx_plain() {
	local word=$1 quote='' c i
	plain=$word
	[[ $word == *[\"\'\\]* ]] || return 0
	plain=''
	for ((i = 0; i < ${#word}; i++)); do
		c=${word:i:1}
		if [[ $c == "\\" && $quote != "'" ]]; then
			i=$((i + 1))
			[[ -n $quote && ${word:i:1} != [\"\\\$\`] ]] && plain+=$c
			plain+=${word:i:1}
		elif [[ -z $quote && $c == [\"\'] ]]; then
			quote=$c
		elif [[ -n $quote && $c == "$quote" ]]; then
			quote=''
		else
			plain+=$c
		fi
	done
}

_sbx() {
	COMPREPLY=()
	# The line before the cursor, in words: bash breaks them at : and = too (COMP_WORDBREAKS), without space between the pieces.
	local rest=${COMP_LINE:0:COMP_POINT} i piece='' plain
	local -a typed=() asked=()
	for ((i = 0; i <= COMP_CWORD; i++)); do
		if [[ $i -eq 0 || $rest == [[:space:]]* ]]; then
			typed+=('')
			rest=${rest#"${rest%%[![:space:]]*}"}
		fi
		piece=${COMP_WORDS[i]}
		[[ $i -eq $COMP_CWORD ]] && piece=$rest
		typed[${#typed[@]} - 1]+=$piece
		rest=${rest#"$piece"}
	done
	for piece in "${typed[@]}"; do
		_sbx_plain "$piece"
		asked+=("$plain")
	done

	# What readline replaces is the last piece only; what stands before it must not come again.
	local current=${typed[${#typed[@]} - 1]} kept='' last=${COMP_WORDS[COMP_CWORD]}
	if [[ ${#asked[@]} -gt 1 && $last != "$current" ]]; then
		piece=$current
		[[ $COMP_WORDBREAKS == *:* && $last == *: ]] && piece=''
		[[ $COMP_WORDBREAKS == *=* && $last == *= ]] && piece=''
		[[ -n $piece && $current == *"${COMP_WORDS[COMP_CWORD]}" ]] && piece=${COMP_WORDS[COMP_CWORD]}
		kept=${current%"$piece"}
	fi
	_sbx_plain "$kept"
	kept=$plain

	local program=${asked[0]} word directive='' quoted
	local -a words=()
	while IFS= read -r word; do
		directive=$word
		words+=("${word%%$'\t'*}")
	done < <("${program/#\~\//$HOME/}" __complete "${asked[@]:1}" 2>/dev/null)
	[[ $directive == :* ]] || return 0
	unset 'words[${#words[@]} - 1]'
	if [[ $directive == :files* && ${#words[@]} -eq 0 ]]; then
		compopt -o default # readline's own, which knows how files are quoted
		return 0
	fi
	if [[ $directive == :files* ]]; then
		while IFS= read -r word; do
			[[ -d $word ]] && word+=/
			words+=("$word")
		done < <(compgen -f -- "${asked[${#asked[@]} - 1]}")
	elif [[ $directive == :commands* ]]; then
		while IFS= read -r word; do words+=("$word"); done < <(compgen -c -- "${asked[${#asked[@]} - 1]}" | sort -u)
	fi
	for word in "${words[@]}"; do
		word=${word#"$kept"}
		quoted=$word
		# Inside quotes that are open, readline wants the text as it is.
		[[ $current == [\"\']* ]] || printf -v quoted %q "$word"
		COMPREPLY+=("$quoted")
	done
	[[ ${#words[@]} -eq 1 && ${words[0]} == *[:=/] ]] && compopt -o nospace
	return 0
}

complete -F _sbx sbx
