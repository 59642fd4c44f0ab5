//! `creel admin`: the operator's work on a server's database, also while the server runs; it follows within a second.
//!
//! Each command group is a module with `Args` and `run`. Results go through [`print`] or [`print_rows`]: what was
//! made is printed as JSON, so that it can be kept; lists are tables unless `--output json`.

mod account;
mod agent_key;
mod audit;
mod capture;
mod key;
mod ledger;
mod limit;
mod offer;
mod order;
mod policy;
mod price;
mod principal;
mod provider;
mod quota;
mod record;
mod verify;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::Subcommand;
use creel_control::access::Actor;
use creel_control::account::{Account, Accounts};
use creel_control::capture::Captures;
use creel_control::clock::{Clock, SystemClock};
use creel_control::id_gen::IdGen;
use creel_control::ledger::Credits;
use creel_control::model::Models;
use creel_control::order::Orders;
use creel_control::principal::Principals;
use creel_control::seal::SealKey;
use creel_control::store::{DbUrl, Store};
use creel_control::tasks::Tasks;
use serde_json::Value;

use super::{Output, UsageError, environment, print_line};
use crate::config::{Config, DataDir, StoreArgs};
use crate::serve::ROOT_ACCOUNT;

/// How long the store may take to end.
const CLOSE_DEADLINE: Duration = Duration::from_secs(10);

/// Flags of `creel admin`.
#[derive(Debug, clap::Args)]
pub(super) struct AdminArgs {
    #[command(flatten)]
    store: StoreFlags,
    #[command(subcommand)]
    command: AdminCommand,
}

/// Flags of every admin command; they may stand before or behind its name.
#[derive(Debug, clap::Args)]
struct StoreFlags {
    /// Where the server keeps its files [default: creel-data]
    #[arg(long, env = "CREEL_DATA_DIR", value_name = "DIR", global = true)]
    data_dir: Option<std::path::PathBuf>,
    /// The server's database [default: sqlite:DIR/creel.db]
    #[arg(long, env = "CREEL_DATABASE", value_name = "URL", hide_env_values = true, global = true)]
    database: Option<String>,
    /// The server's configuration file
    #[arg(long, env = "CREEL_CONFIG", value_name = "FILE", global = true)]
    config: Option<std::path::PathBuf>,
    /// How to print lists
    #[arg(long, value_enum, default_value_t = Output::Text, global = true)]
    output: Output,
}

#[derive(Debug, Subcommand)]
enum AdminCommand {
    #[command(flatten)]
    OnDatabase(DatabaseCommand),
    /// Record what the provider's own service answers, for tests to replay; needs no database
    Record(record::Args),
}

#[derive(Debug, Subcommand)]
enum DatabaseCommand {
    /// Accounts (tenants)
    #[command(subcommand)]
    Account(account::Command),
    /// Who may call the API for an account: its root and its users
    #[command(subcommand)]
    Principal(principal::Command),
    /// What principals may do
    #[command(subcommand)]
    Policy(policy::Command),
    /// Access keys of the API
    #[command(subcommand)]
    Key(key::Command),
    /// The audit log: search, export, and the check that nobody tampered with it
    #[command(subcommand)]
    Audit(audit::Command),
    /// Credits: packs, entries, the check
    #[command(subcommand)]
    Ledger(ledger::Command),
    /// How much agents may ask of the LLM gateway
    #[command(subcommand)]
    Limit(limit::Command),
    /// Content of LLM calls, which is kept only where a policy says so
    #[command(subcommand)]
    Capture(capture::Command),
    /// What agents and resource groups may spend in a cycle
    #[command(subcommand)]
    Quota(quota::Command),
    /// Prices of models
    #[command(subcommand)]
    Price(price::Command),
    /// The operator's model providers: addresses, keys, models
    #[command(subcommand)]
    Provider(provider::Command),
    /// The price list of credit packs, for all accounts
    #[command(subcommand)]
    Offer(offer::Command),
    /// Orders of credit packs, which may wait for approval
    #[command(subcommand)]
    Order(order::Command),
    /// Make a virtual key with which another client may call the LLM gateway as an agent
    AgentKey(agent_key::Args),
}

/// What an admin command works with.
#[derive(Debug)]
struct Admin {
    store: Store,
    ids: IdGen,
    accounts: Accounts,
    principals: Principals,
    credits: Credits,
    captures: Captures,
    models: Models,
    orders: Orders,
    audit_key: SealKey,
    config: Config,
    output: Output,
}

/// Runs one admin command.
pub(super) async fn run(args: &AdminArgs) -> anyhow::Result<ExitCode> {
    let command = match &args.command {
        AdminCommand::Record(args) => return record::run(args).await,
        AdminCommand::OnDatabase(command) => command,
    };
    let flags = &args.store;
    let store_args = StoreArgs {
        config: flags.config.clone(),
        data_dir: flags.data_dir.clone(),
        database: flags.database.clone(),
    };
    let config = Config::for_admin(&store_args, &environment)?;
    let tasks = Tasks::new();
    let admin = open(&config, flags.output, &tasks).await?;
    let result = match command {
        DatabaseCommand::Account(command) => account::run(&admin, command).await,
        DatabaseCommand::Principal(command) => principal::run(&admin, command).await,
        DatabaseCommand::Policy(command) => policy::run(&admin, command).await,
        DatabaseCommand::Key(command) => key::run(&admin, command).await,
        DatabaseCommand::Audit(command) => audit::run(&admin, command).await,
        DatabaseCommand::Ledger(command) => ledger::run(&admin, command).await,
        DatabaseCommand::Limit(command) => limit::run(&admin, command).await,
        DatabaseCommand::Capture(command) => capture::run(&admin, command).await,
        DatabaseCommand::Price(command) => price::run(&admin, command).await,
        DatabaseCommand::Provider(command) => provider::run(&admin, command).await,
        DatabaseCommand::Quota(command) => quota::run(&admin, command).await,
        DatabaseCommand::Offer(command) => offer::run(&admin, command).await,
        DatabaseCommand::Order(command) => order::run(&admin, command).await,
        DatabaseCommand::AgentKey(args) => agent_key::run(&admin, args).await,
    };
    // The writer has committed whatever was answered; this only lets it close its connection in order.
    drop(admin);
    tasks.shutdown(CLOSE_DEADLINE).await;
    result
}

async fn open(config: &Config, output: Output, tasks: &Tasks) -> anyhow::Result<Admin> {
    if let Some(path) = config.sqlite_path().filter(|path| !path.exists()) {
        let message = format!("there is no database at {}: is --data-dir right?", path.display());
        return Err(UsageError(message).into());
    }
    let data_dir = DataDir::ensure(config)?;
    let sealer = Arc::new(data_dir.sealer(config)?);
    let audit_key = data_dir.audit_key()?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let address: DbUrl = config.database_url().parse()?;
    let store = Store::open(&address, clock.clone(), tasks).await.context("opening the database")?;
    store.set_audit_key(audit_key.tag_key());
    let ids = IdGen::new(clock);
    let accounts = Accounts::new(store.clone(), sealer.clone(), ids.clone());
    let captures = Captures::new(store.clone(), sealer.clone());
    let models = Models::new(store.clone(), sealer, ids.clone(), config.gateway.required);
    let principals = Principals::new(store.clone(), ids.clone(), accounts.clone());
    let credits = Credits::new(store.clone(), ids.clone());
    let orders = Orders::new(store.clone(), ids.clone(), config.orders.currency.clone());
    let config = config.clone();
    Ok(Admin {
        store,
        ids,
        accounts,
        principals,
        credits,
        captures,
        models,
        orders,
        audit_key,
        config,
        output,
    })
}

impl Admin {
    /// The account of this name; without one the root account.
    async fn account(&self, name: Option<&str>) -> anyhow::Result<Account> {
        let name = name.unwrap_or(ROOT_ACCOUNT);
        let found = self.accounts.find_by_name(name).await?;
        found.with_context(|| format!("there is no account named {name}"))
    }

    /// The operator doing something to an account.
    fn actor(&self, account: &Account, action: &'static str) -> Actor {
        Actor::operator(account.id.clone(), action, self.ids.request_id())
    }
}

/// Prints one thing that was made.
fn print(value: &Value) -> anyhow::Result<()> {
    print_line(&serde_json::to_string_pretty(value)?)
}

/// Prints a list: JSON, or a table with these columns of its items.
fn print_rows(output: Output, columns: &[&str], rows: &[Value]) -> anyhow::Result<()> {
    if output == Output::Json {
        return print_line(&serde_json::to_string_pretty(rows)?);
    }
    print_line(&table(columns, rows))
}

fn table(columns: &[&str], rows: &[Value]) -> String {
    let cell = |row: &Value, column: &str| match row.get(column) {
        Some(Value::String(text)) => text.clone(),
        None | Some(Value::Null) => String::new(),
        Some(other) => other.to_string(),
    };
    let header = columns.iter().map(|column| (*column).to_owned()).collect::<Vec<_>>();
    let body = rows.iter().map(|row| columns.iter().map(|column| cell(row, column)).collect());
    let lines: Vec<Vec<String>> = std::iter::once(header).chain(body).collect();
    let width = |index: usize| {
        lines.iter().filter_map(|line| line.get(index)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns.len()).map(width).collect();
    let shown = lines.iter().map(|line| {
        let cells = line.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    });
    shown.collect::<Vec<_>>().join("\n")
}

/// A moment as the API writes it.
fn shown_time(at_ms: i64) -> String {
    jiff::Timestamp::from_millisecond(at_ms)
        .map(|at| creel_wire::time::TimeFormat::Seconds.write(at))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_line_up_and_end_without_spaces() {
        let rows = [
            serde_json::json!({"Id": "1", "Name": "a long one"}),
            serde_json::json!({"Id": "22", "Name": ""}),
        ];
        assert_eq!(table(&["Id", "Name"], &rows), "Id  Name\n1   a long one\n22");
    }
}
