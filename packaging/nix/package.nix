# wirelink, built from this checkout.
{ lib, rustPlatform, version ? "0.1.0" }:

rustPlatform.buildRustPackage {
  pname = "wirelink";
  inherit version;

  src = lib.cleanSourceWith {
    src = ../..;
    filter = path: type: lib.cleanSourceFilter path type && baseNameOf path != "target";
  };
  cargoLock.lockFile = ../../Cargo.lock;

  cargoBuildFlags = [ "--bin" "wirelink" ];
  # The other tests want root, or minutes.
  cargoTestFlags = [ "--lib" ];

  # The same list of files as everywhere; the units name the program by its place in the store.
  installPhase = ''
    runHook preInstall
    program=$(find target -path '*release/wirelink' -type f | head -n 1)
    cp "$program" wirelink
    PREFIX=$out sh packaging/install.sh
    runHook postInstall
  '';

  meta = {
    description = "Turns a hub-and-spoke WireGuard network into direct links, beside an existing interface";
    license = [ lib.licenses.mit lib.licenses.asl20 ];
    platforms = lib.platforms.linux;
    mainProgram = "wirelink";
  };
}
