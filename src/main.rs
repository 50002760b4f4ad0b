//! The `pgcask` command.

fn main() -> std::process::ExitCode {
    pgcask::cli::main()
}
