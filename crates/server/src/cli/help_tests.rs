//! The help of every command, as one text that a change shows up in.

use std::fmt::Write;

use clap::CommandFactory;

use super::Cli;

fn write_help(command: &mut clap::Command, path: &str, text: &mut String) {
    let path = format!("{path} {}", command.get_name()).trim().to_owned();
    writeln!(text, "$ {path} --help\n{}\n", command.render_help()).unwrap();
    for sub in command.get_subcommands_mut().filter(|sub| sub.get_name() != "help") {
        write_help(sub, &path, text);
    }
}

/// What variables are set differs from machine to machine.
fn without_values(command: clap::Command) -> clap::Command {
    command.mut_args(|arg| arg.hide_env_values(true)).mut_subcommands(without_values)
}

#[test]
fn the_help_of_every_command() {
    let mut command = without_values(Cli::command()).version("0");
    command.build();
    let mut text = String::new();
    write_help(&mut command, "", &mut text);
    insta::assert_snapshot!(text);
}

#[test]
fn the_command_line_is_consistent() {
    Cli::command().debug_assert();
}
