//! The command line. Data goes to standard output, everything else to standard error.
//!
//! Exit codes: 0 done; 1 it failed, and standard error says why; 2 the command line or the configuration is wrong.

mod admin;
mod call;
mod chat;
mod check_config;
mod client;
pub mod echo_llm;
mod guest;
mod logging;
mod login;
mod profile;
mod serve;
mod skill;

use std::net::SocketAddr;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::config::{ConfigError, ServeArgs};

/// Failed; standard error says why.
const EXIT_FAILED: u8 = 1;
/// The command line or the configuration is wrong; clap uses the same.
const EXIT_USAGE: u8 = 2;

/// The hidden command through which a guest starts its agent.
const TRAMPOLINE: &str = "guest-exec";

/// One place to run AI agents from: their models, channels, skills and what they spend
#[derive(Debug, Parser)]
#[command(name = "creel", version, max_term_width = 100, after_help = AFTER_HELP)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// The command line is wrong in a way that only we can see.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct UsageError(String);

impl From<anyhow::Error> for UsageError {
    fn from(error: anyhow::Error) -> Self {
        Self(format!("{error:#}"))
    }
}

/// How data is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Output {
    /// For people.
    Text,
    /// For programs.
    Json,
}

const AFTER_HELP: &str = "\
Exit codes: 0 done; 1 it failed, and standard error says why; 2 the command line or the configuration is wrong.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server until SIGTERM or Ctrl-C
    Serve(Box<ServeArgs>),
    /// Print the server's configuration with secrets masked, or what is wrong with it
    CheckConfig(Box<ServeArgs>),
    /// Call any operation of the API, signed; prints the answer as JSON
    Call(call::CallArgs),
    /// Send one message to an agent and print its reply
    Chat(chat::ChatArgs),
    /// Check an access key and keep it for call and chat
    Login(login::LoginArgs),
    /// Work on a server's database, also beside the running server
    Admin(Box<admin::AdminArgs>),
    /// Look after one agent: started by a driver, not by people
    Guest(guest::GuestArgs),
    /// Look at skills on this machine, without a server
    Skill(skill::SkillArgs),
    /// Run a model provider that answers with the last user message: for demos, tests and benchmarks
    EchoLlm {
        /// Address to listen on; port 0 takes a free one
        #[arg(long, default_value = "127.0.0.1:0")]
        listen: SocketAddr,
        /// Wait before each answer, and before each piece of a stream
        #[arg(long, default_value_t = 0)]
        delay_ms: u64,
        /// Pieces of a streamed answer
        #[arg(long, default_value_t = 4)]
        chunks: usize,
    },
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let mut args = std::env::args_os();
    if args.nth(1).is_some_and(|command| command == TRAMPOLINE) {
        // Before anything can have started a thread; its arguments are between guest and trampoline.
        return creel_guest::exec_trampoline(args);
    }
    let cli = Cli::parse();
    match run(cli.command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("creel: {error:#}");
            let is_usage = |cause: &(dyn std::error::Error + 'static)| {
                cause.is::<ConfigError>() || cause.is::<UsageError>()
            };
            let wrong_usage = error.chain().any(is_usage);
            ExitCode::from(if wrong_usage { EXIT_USAGE } else { EXIT_FAILED })
        }
    }
}

fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Serve(args) => runtime()?.block_on(serve::run(&args)),
        Command::CheckConfig(args) => check_config::run(&args),
        Command::Call(args) => runtime()?.block_on(call::run(&args)),
        Command::Chat(args) => runtime()?.block_on(chat::run(&args)),
        Command::Login(args) => runtime()?.block_on(login::run(&args)),
        Command::Admin(args) => runtime()?.block_on(admin::run(&args)),
        Command::Guest(args) => small_runtime()?.block_on(guest::run(&args)),
        Command::Skill(args) => runtime()?.block_on(skill::run(args)),
        Command::EchoLlm { listen, delay_ms, chunks } => {
            runtime()?.block_on(echo_llm::run(listen, delay_ms, chunks)).map(|()| ExitCode::SUCCESS)
        }
    }
}

/// One thread: there is a guest for each agent.
fn small_runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()
}

/// A variable of this process's environment. Variables with secrets stay in it, because taking them out is not safe
/// while threads run; so whatever this process starts gets an environment of its own, never this one.
fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Writes one line of data to standard output.
fn print_line(line: &str) -> anyhow::Result<()> {
    use std::io::Write;
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{line}")?;
    stdout.flush()?;
    Ok(())
}

#[cfg(test)]
#[path = "help_tests.rs"]
mod tests;
