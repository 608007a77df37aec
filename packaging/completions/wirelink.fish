# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_wirelink_global_optspecs
    string join \n i/iface= port= router= chatty= address-hash= prune= leave-peers= probe= resolve-wg-quick= port-prediction= d/debug= log-format= wait= dump h/help V/version
end

function __fish_wirelink_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_wirelink_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_wirelink_using_subcommand
    set -l cmd (__fish_wirelink_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c wirelink -n "__fish_wirelink_needs_command" -s i -l iface -d 'The WireGuard interface [default: wg0]' -r
complete -c wirelink -n "__fish_wirelink_needs_command" -l port -d 'The UDP port for facts in the tunnel [default: listen port + 1]' -r
complete -c wirelink -n "__fish_wirelink_needs_command" -l router -d 'Whether it routes for others: true, false or auto [default: auto]' -r
complete -c wirelink -n "__fish_wirelink_needs_command" -l chatty -d 'Whether to tell all facts to every healthy peer [default: false]' -r
complete -c wirelink -n "__fish_wirelink_needs_command" -l address-hash -d 'How addresses follow from keys, all nodes alike: sha1 or blake2s [default: sha1]' -r
complete -c wirelink -n "__fish_wirelink_needs_command" -l prune -d 'Which peers go when nobody names them members: introduced, all or never [default: introduced]' -r
complete -c wirelink -n "__fish_wirelink_needs_command" -l leave-peers -d 'Whether what it brought stays on the interface when it stops [default: false]' -r
complete -c wirelink -n "__fish_wirelink_needs_command" -l probe -d 'Whether to probe peers from WireGuard\'s own port, for which it needs CAP_NET_RAW [default: true]' -r
complete -c wirelink -n "__fish_wirelink_needs_command" -l resolve-wg-quick -d 'Whether to look up the endpoint names in the file of wg-quick, too [default: false]' -r
complete -c wirelink -n "__fish_wirelink_needs_command" -l port-prediction -d 'Whether to predict the ports of NATs that count them up [default: true]' -r
complete -c wirelink -n "__fish_wirelink_needs_command" -s d -l debug -d 'Whether to log details [default: false]' -r
complete -c wirelink -n "__fish_wirelink_needs_command" -l log-format -d 'How to log: auto (fields where the journal reads, else text), plain or json [default: auto]' -r
complete -c wirelink -n "__fish_wirelink_needs_command" -l wait -d 'Whether to wait for an interface that is missing or vanishes [default: false]' -r
complete -c wirelink -n "__fish_wirelink_needs_command" -l dump -d 'Print the effective settings as a JSON configuration file, and exit'
complete -c wirelink -n "__fish_wirelink_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c wirelink -n "__fish_wirelink_needs_command" -s V -l version -d 'Print version'
complete -c wirelink -n "__fish_wirelink_needs_command" -f -a "address" -d 'Print the link-local address that follows from a public key'
complete -c wirelink -n "__fish_wirelink_needs_command" -f -a "decode" -d 'Show what stands in captured datagrams: hexadecimal in, one a line; JSON out, one object a line'
complete -c wirelink -n "__fish_wirelink_needs_command" -f -a "status" -d 'Show how the node and its peers are'
complete -c wirelink -n "__fish_wirelink_needs_command" -f -a "watch" -d 'Show the same on the whole screen, as it changes'
complete -c wirelink -n "__fish_wirelink_needs_command" -f -a "explain" -d 'Show why a peer is not reached directly, step by step, and what would have to change'
complete -c wirelink -n "__fish_wirelink_needs_command" -f -a "ping" -d 'Measure how long the direct path to a peer takes, and the one through a router'
complete -c wirelink -n "__fish_wirelink_needs_command" -f -a "doctor" -d 'Check what this machine gives wirelink to work with, and say what to do about what is missing'
complete -c wirelink -n "__fish_wirelink_needs_command" -f -a "facts" -d 'Show what is believed, who said so and for how long it counts'
complete -c wirelink -n "__fish_wirelink_needs_command" -f -a "events" -d 'Show what happened lately'
complete -c wirelink -n "__fish_wirelink_needs_command" -f -a "reload" -d 'Read the configuration again; links that it does not concern stay as they are'
complete -c wirelink -n "__fish_wirelink_needs_command" -f -a "set" -d 'Treat a peer otherwise, until the daemon is started again'
complete -c wirelink -n "__fish_wirelink_needs_command" -f -a "log" -d 'Log details, or no longer, until the daemon is started again'
complete -c wirelink -n "__fish_wirelink_needs_command" -f -a "export" -d 'Print the peers as they are now as a static configuration, without private keys'
complete -c wirelink -n "__fish_wirelink_needs_command" -f -a "restore" -d 'Put an interface back as it was before wirelink first ran beside it, after a crash'
complete -c wirelink -n "__fish_wirelink_needs_command" -f -a "unit" -d 'Do what units of systemd need done as root'
complete -c wirelink -n "__fish_wirelink_needs_command" -f -a "demo" -d 'Show on this machine alone how two leaves behind NATs go direct, and what happens when that path breaks'
complete -c wirelink -n "__fish_wirelink_using_subcommand address" -l hash -d 'How addresses follow from keys, all nodes alike: sha1 or blake2s' -r
complete -c wirelink -n "__fish_wirelink_using_subcommand address" -s h -l help -d 'Print help'
complete -c wirelink -n "__fish_wirelink_using_subcommand decode" -l private-key-file -d 'The private key of the recipient, in a file as `wg genkey` prints it; it is never shown' -r -F
complete -c wirelink -n "__fish_wirelink_using_subcommand decode" -l sender -d 'Who sent the compact groups, which do not name their sender; a public key' -r
complete -c wirelink -n "__fish_wirelink_using_subcommand decode" -l hash -d 'How addresses follow from keys, all nodes alike: sha1 or blake2s' -r
complete -c wirelink -n "__fish_wirelink_using_subcommand decode" -s h -l help -d 'Print help'
complete -c wirelink -n "__fish_wirelink_using_subcommand status" -s i -l iface -d 'The WireGuard interface [default: that of the one daemon that runs]' -r
complete -c wirelink -n "__fish_wirelink_using_subcommand status" -l json -d 'Print JSON'
complete -c wirelink -n "__fish_wirelink_using_subcommand status" -s h -l help -d 'Print help'
complete -c wirelink -n "__fish_wirelink_using_subcommand watch" -s i -l iface -d 'The WireGuard interface [default: that of the one daemon that runs]' -r
complete -c wirelink -n "__fish_wirelink_using_subcommand watch" -s h -l help -d 'Print help'
complete -c wirelink -n "__fish_wirelink_using_subcommand explain" -s i -l iface -d 'The WireGuard interface [default: that of the one daemon that runs]' -r
complete -c wirelink -n "__fish_wirelink_using_subcommand explain" -l json -d 'Print JSON'
complete -c wirelink -n "__fish_wirelink_using_subcommand explain" -s h -l help -d 'Print help'
complete -c wirelink -n "__fish_wirelink_using_subcommand ping" -s c -l count -d 'How often to ask, once a second' -r
complete -c wirelink -n "__fish_wirelink_using_subcommand ping" -s i -l iface -d 'The WireGuard interface [default: that of the one daemon that runs]' -r
complete -c wirelink -n "__fish_wirelink_using_subcommand ping" -l json -d 'Print JSON, one object at the end'
complete -c wirelink -n "__fish_wirelink_using_subcommand ping" -s h -l help -d 'Print help'
complete -c wirelink -n "__fish_wirelink_using_subcommand doctor" -s i -l iface -d 'The WireGuard interface [default: that of the one daemon that runs]' -r
complete -c wirelink -n "__fish_wirelink_using_subcommand doctor" -l json -d 'Print JSON'
complete -c wirelink -n "__fish_wirelink_using_subcommand doctor" -s h -l help -d 'Print help'
complete -c wirelink -n "__fish_wirelink_using_subcommand facts" -s i -l iface -d 'The WireGuard interface [default: that of the one daemon that runs]' -r
complete -c wirelink -n "__fish_wirelink_using_subcommand facts" -l json -d 'Print JSON'
complete -c wirelink -n "__fish_wirelink_using_subcommand facts" -s h -l help -d 'Print help'
complete -c wirelink -n "__fish_wirelink_using_subcommand events" -s i -l iface -d 'The WireGuard interface [default: that of the one daemon that runs]' -r
complete -c wirelink -n "__fish_wirelink_using_subcommand events" -s f -l follow -d 'Go on with what happens from now on'
complete -c wirelink -n "__fish_wirelink_using_subcommand events" -l json -d 'Print JSON, one object a line'
complete -c wirelink -n "__fish_wirelink_using_subcommand events" -s h -l help -d 'Print help'
complete -c wirelink -n "__fish_wirelink_using_subcommand reload" -s i -l iface -d 'The WireGuard interface [default: that of the one daemon that runs]' -r
complete -c wirelink -n "__fish_wirelink_using_subcommand reload" -l json -d 'Print JSON'
complete -c wirelink -n "__fish_wirelink_using_subcommand reload" -s h -l help -d 'Print help'
complete -c wirelink -n "__fish_wirelink_using_subcommand set" -l trust -d 'How far its word goes: Untrusted, Endpoint, AllowedIPs, Membership or DelegateTrust' -r
complete -c wirelink -n "__fish_wirelink_using_subcommand set" -s i -l iface -d 'The WireGuard interface [default: that of the one daemon that runs]' -r
complete -c wirelink -n "__fish_wirelink_using_subcommand set" -l pause -d 'Send its traffic through a router'
complete -c wirelink -n "__fish_wirelink_using_subcommand set" -l resume -d 'Send its traffic directly again, where that is possible'
complete -c wirelink -n "__fish_wirelink_using_subcommand set" -l ban -d 'Keep its key out, here and at all nodes that trust this one with members; it lasts across restarts'
complete -c wirelink -n "__fish_wirelink_using_subcommand set" -l unban -d 'Keep its key out no longer'
complete -c wirelink -n "__fish_wirelink_using_subcommand set" -l json -d 'Print JSON'
complete -c wirelink -n "__fish_wirelink_using_subcommand set" -s h -l help -d 'Print help'
complete -c wirelink -n "__fish_wirelink_using_subcommand log" -s i -l iface -d 'The WireGuard interface [default: that of the one daemon that runs]' -r
complete -c wirelink -n "__fish_wirelink_using_subcommand log" -l json -d 'Print JSON'
complete -c wirelink -n "__fish_wirelink_using_subcommand log" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c wirelink -n "__fish_wirelink_using_subcommand export" -l format -d 'How it is written' -r -f -a "wg-quick\t'The sections of peers of a file that `wg setconf`, `wg addconf` and wg-quick read'
json\t'JSON'"
complete -c wirelink -n "__fish_wirelink_using_subcommand export" -s i -l iface -d 'The WireGuard interface [default: that of the one daemon that runs]' -r
complete -c wirelink -n "__fish_wirelink_using_subcommand export" -l json -d 'Print JSON, as --format json does'
complete -c wirelink -n "__fish_wirelink_using_subcommand export" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c wirelink -n "__fish_wirelink_using_subcommand restore" -s i -l iface -d 'The WireGuard interface [default: wg0]' -r
complete -c wirelink -n "__fish_wirelink_using_subcommand restore" -l address-hash -d 'How addresses follow from keys, if the daemon was told so by a flag: sha1 or blake2s' -r
complete -c wirelink -n "__fish_wirelink_using_subcommand restore" -s h -l help -d 'Print help'
complete -c wirelink -n "__fish_wirelink_using_subcommand unit; and not __fish_seen_subcommand_from before-start before-stop after-stop" -s h -l help -d 'Print help'
complete -c wirelink -n "__fish_wirelink_using_subcommand unit; and not __fish_seen_subcommand_from before-start before-stop after-stop" -f -a "before-start" -d 'Copy the settings to where the daemon may read them'
complete -c wirelink -n "__fish_wirelink_using_subcommand unit; and not __fish_seen_subcommand_from before-start before-stop after-stop" -f -a "before-stop" -d 'Have the daemon leave the interface as it is, where it is started again at once'
complete -c wirelink -n "__fish_wirelink_using_subcommand unit; and not __fish_seen_subcommand_from before-start before-stop after-stop" -f -a "after-stop" -d 'Put back what the daemon left for v1 nodes, where wg-quick takes the interface away'
complete -c wirelink -n "__fish_wirelink_using_subcommand unit; and __fish_seen_subcommand_from before-start" -s i -l iface -d 'The WireGuard interface' -r
complete -c wirelink -n "__fish_wirelink_using_subcommand unit; and __fish_seen_subcommand_from before-start" -s h -l help -d 'Print help'
complete -c wirelink -n "__fish_wirelink_using_subcommand unit; and __fish_seen_subcommand_from before-stop" -s i -l iface -d 'The WireGuard interface' -r
complete -c wirelink -n "__fish_wirelink_using_subcommand unit; and __fish_seen_subcommand_from before-stop" -s h -l help -d 'Print help'
complete -c wirelink -n "__fish_wirelink_using_subcommand unit; and __fish_seen_subcommand_from after-stop" -s i -l iface -d 'The WireGuard interface' -r
complete -c wirelink -n "__fish_wirelink_using_subcommand unit; and __fish_seen_subcommand_from after-stop" -s h -l help -d 'Print help'
complete -c wirelink -n "__fish_wirelink_using_subcommand demo" -s v -l verbose -d 'Show what the three daemons log'
complete -c wirelink -n "__fish_wirelink_using_subcommand demo" -l userspace -d 'Use the embedded userspace WireGuard even where the kernel has one'
complete -c wirelink -n "__fish_wirelink_using_subcommand demo" -s h -l help -d 'Print help'
