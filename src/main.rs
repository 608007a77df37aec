//! The demo alone, until the command line is here.
use clap::Parser;

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    demo: wirelink::cli::demo::DemoArgs,
}

fn main() {
    if let Err(error) = wirelink::cli::demo::run(Cli::parse().demo) {
        println!("wirelink: {error:#}");
        std::process::exit(1);
    }
}
