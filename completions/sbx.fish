# fish completion for sbx. It asks sbx itself (sbx __complete), so it knows what this version knows, and names that exist now.
# Use: sbx completion fish | source, or put it into ~/.config/fish/completions/sbx.fish

function __sbx_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    set -l plain (string unescape -- $current)
    or set plain (string trim -l -c '"\'' -- $current)
    set -l program (string replace -r '^~/' "$HOME/" -- $words[1])
    set -l lines ($program __complete $words[2..-1] "$plain" 2>/dev/null)
    test (count $lines) -gt 0
    or return
    set -l directive $lines[-1]
    set -e lines[-1]
    test (count $lines) -gt 0
    and printf '%s\n' $lines
    switch $directive
        case ':files*'
            set -l n (string match -r 'prefix=(\d+)' -- $directive)[2]
            set -q n[1]
            or set n 0
            set -l before (string sub -l $n -- $plain)
            # The words of a command that takes files, at this path.
            complete -C "__sbx_files "(string escape -- (string sub -s (math $n + 1) -- $plain)) | string replace -r '^' -- "$before"
        case ':commands*'
            complete -C (string escape -- $plain)
    end
end

complete -c sbx -f -k -a '(__sbx_complete)'
