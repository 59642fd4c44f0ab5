//! The guest's two subcommands as a program, for tests: `guest --options FILE` and `guest-exec …`.

use std::process::ExitCode;

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

/// Writes events to standard error.
struct Log;

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::DEBUG && metadata.target().starts_with("creel")
    }
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, event: &Event<'_>) {
        struct Line(String);
        impl Visit for Line {
            fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
                self.0.push_str(&format!(" {field}={value:?}"));
            }
        }
        let mut line = Line(event.metadata().level().to_string());
        event.record(&mut line);
        eprintln!("{}", line.0);
    }
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1);
    match args.next().as_deref().and_then(std::ffi::OsStr::to_str) {
        Some("guest-exec") => creel_guest::exec_trampoline(args),
        Some("guest") => {
            let Some(file) = args.nth(1) else { return ExitCode::FAILURE };
            let _ = tracing::subscriber::set_global_default(Log);
            let ended = creel_guest::GuestOptions::from_file(file.as_ref()).map(|options| {
                tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .map(|rt| rt.block_on(creel_guest::run(options)))
            });
            eprintln!("guest ended: {ended:?}");
            ExitCode::SUCCESS
        }
        _ => ExitCode::FAILURE,
    }
}
