//! `creel admin price`: what models of an account's own providers and of the operator's cost.

use std::process::ExitCode;

use creel_control::ledger::{Price, SystemPrice};
use creel_wire::id::ProviderId;
use creel_wire::money::Micros;
use creel_wire::price::RateCard;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Admin, UsageError, print_rows, shown_time};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Price a model; calls that begin before keep the price they had
    Set(Box<Set>),
    /// List the prices of the operator's models and of an account's own
    List {
        /// Name of the account
        #[arg(long, default_value = crate::serve::ROOT_ACCOUNT)]
        account: String,
    },
}

/// A price; amounts are credits for 1,000 tokens, such as 0.2.
#[derive(Debug, clap::Args)]
pub(super) struct Set {
    /// The provider, mpt-…, or the name of one of the operator's
    #[arg(long, value_name = "ID|NAME")]
    provider: String,
    /// The model, as the provider names it
    #[arg(long, value_name = "CODE")]
    model: String,
    /// Price of input tokens
    #[arg(long, value_name = "CREDITS")]
    input: Micros,
    /// Price of input tokens read from a cache [default: that of input]
    #[arg(long, value_name = "CREDITS")]
    cached_input: Option<Micros>,
    /// Price of input tokens written to a cache [default: that of input]
    #[arg(long, value_name = "CREDITS")]
    cache_write: Option<Micros>,
    /// Price of output tokens
    #[arg(long, value_name = "CREDITS")]
    output_tokens: Micros,
    /// Factor on the whole
    #[arg(long, default_value = "1")]
    multiplier: Micros,
    /// From when, such as 2027-01-01T00:00:00Z [default: now, which is all that the operator's can have]
    #[arg(long, value_name = "TIME")]
    from: Option<Timestamp>,
    /// Name of the account
    #[arg(long, default_value = crate::serve::ROOT_ACCOUNT)]
    account: String,
}

pub(super) async fn run(admin: &Admin, command: &Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Set(price) => set(admin, price).await?,
        Command::List { account } => list(admin, account).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn set(admin: &Admin, price: &Set) -> anyhow::Result<()> {
    let card = RateCard {
        input: price.input.0,
        cached_input: price.cached_input.unwrap_or(price.input).0,
        cache_write: price.cache_write.unwrap_or(price.input).0,
        output: price.output_tokens.0,
        multiplier_micros: price.multiplier.0,
    };
    if [card.input, card.cached_input, card.cache_write, card.output, card.multiplier_micros]
        .iter()
        .any(|n| *n < 0)
    {
        return Err(UsageError("a price must not be negative".to_owned()).into());
    }
    let account = admin.account(Some(&price.account)).await?;
    let actor = admin.actor(&account, "SetPrice");
    let Ok(provider_id) = ProviderId::parse(&price.provider) else {
        if price.from.is_some() {
            let message =
                "a price of the operator's provider is in effect at once; leave out --from".to_owned();
            return Err(UsageError(message).into());
        }
        let (provider_name, model_code) = (price.provider.clone(), price.model.clone());
        admin.credits.set_system_price(actor, SystemPrice { provider_name, model_code, card }).await?;
        return Ok(());
    };
    let price = Price {
        account_id: account.id,
        provider_id,
        model_code: price.model.clone(),
        effective_from_ms: price.from.map_or_else(|| admin.store.clock().now_ms(), Timestamp::as_millisecond),
        card,
    };
    admin.credits.set_price(actor, price).await?;
    Ok(())
}

const COLUMNS: [&str; 8] =
    ["Provider", "Model", "Input", "CachedInput", "CacheWrite", "Output", "Multiplier", "EffectiveFrom"];

async fn list(admin: &Admin, account: &str) -> anyhow::Result<()> {
    let account = admin.account(Some(account)).await?;
    let system = admin.credits.list_system_prices().await?;
    let own = admin.credits.list_prices(&account.id).await?;
    let rows: Vec<Value> = system
        .iter()
        .map(|price| row(&price.provider_name, &price.model_code, &price.card, String::new()))
        .chain(own.iter().map(|price| {
            row(
                price.provider_id.as_str(),
                &price.model_code,
                &price.card,
                shown_time(price.effective_from_ms),
            )
        }))
        .collect();
    print_rows(admin.output, &COLUMNS, &rows)
}

/// `from` is empty for the operator's prices, which are those of this moment.
fn row(provider: &str, model: &str, card: &RateCard, from: String) -> Value {
    let credits = |micros: i64| Micros(micros).to_string();
    json!({
        "Provider": provider,
        "Model": model,
        "Input": credits(card.input),
        "CachedInput": credits(card.cached_input),
        "CacheWrite": credits(card.cache_write),
        "Output": credits(card.output),
        "Multiplier": credits(card.multiplier_micros),
        "EffectiveFrom": from,
    })
}
