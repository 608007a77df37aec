# services.wirelink.interfaces.wg0 = { }; runs wirelink beside the WireGuard interface wg0, whatever makes it.
self:
{ config, lib, pkgs, ... }:

let
  cfg = config.services.wirelink;
  json = pkgs.formats.json { };
  # None are needed, so an interface with none has no file.
  files = lib.mapAttrs (name: json.generate "wirelink.${name}.json") (lib.filterAttrs (_: settings: settings != { }) cfg.interfaces);
  unit = if cfg.besideWgQuick then "wl-quick" else "wirelink";
in
{
  options.services.wirelink = {
    package = lib.mkOption {
      type = lib.types.package;
      default = self.packages.${pkgs.stdenv.hostPlatform.system}.default;
      description = "The package whose program and units are used.";
    };
    besideWgQuick = lib.mkOption {
      type = lib.types.bool;
      default = false;
      description = "Whether the interfaces are made by a unit wg-quick@, with which wirelink then starts and stops.";
    };
    interfaces = lib.mkOption {
      type = lib.types.attrsOf json.type;
      default = { };
      description = "The interfaces, and for each the settings of /etc/wireguard/wirelink.<interface>.json; none are needed.";
    };
  };

  config = lib.mkIf (cfg.interfaces != { }) {
    environment.systemPackages = [ cfg.package ];
    systemd.packages = [ cfg.package ];
    users.groups.wirelink = { };
    systemd.services = lib.mapAttrs' (name: _: lib.nameValuePair "${unit}@${name}" {
      overrideStrategy = "asDropin";
      # A restart leaves the interface as it is, where a stop and a start would put it back between them; and settings are followed.
      stopIfChanged = false;
      reloadTriggers = lib.optional (files ? ${name}) files.${name};
      wantedBy = [ (if cfg.besideWgQuick then "wg-quick@${name}.service" else "multi-user.target") ];
    }) cfg.interfaces;
    environment.etc = lib.mapAttrs' (name: source: lib.nameValuePair "wireguard/wirelink.${name}.json" {
      inherit source;
    }) files;
  };
}
