//! `creel admin provider`: the operator's model providers, which credit providers of all accounts stand for.
//!
//! Keys are read from the standard input, a file or the environment: arguments can be seen by every process of a machine.

use std::io::Read;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use creel_control::model::{
    ModelError, NewSystemKey, ProviderApi, RouteOrder, SmartModel, SystemEndpoint, SystemKey,
    SystemKeyChange, SystemModel, SystemProvider, SystemProviderChange, SystemRoute,
};
use creel_wire::secret::Secret;
use serde_json::{Value, json};

use super::{Admin, UsageError, print_rows, shown_time};

/// Most bytes of a key that are read.
const KEY_BYTES_MAX: u64 = 8 << 10;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// List the providers with their addresses
    List,
    /// Add a provider; keys and models are added to it
    Add {
        /// How credit providers name it
        name: String,
        /// Its dialect: openai-completions, openai-responses or anthropic-messages
        #[arg(long)]
        api: String,
        /// Where its API begins, such as https://host/v1; give several to share the calls, @3 behind one for three times its share
        #[arg(long = "base-url", value_name = "URL[@WEIGHT]", required = true)]
        base_urls: Vec<String>,
    },
    /// Change a provider; servers follow within a second, and agents their dialect
    Set {
        /// Its name
        name: String,
        /// Its dialect [default: as it was]
        #[arg(long)]
        api: Option<String>,
        /// All of its addresses [default: as they were]
        #[arg(long = "base-url", value_name = "URL[@WEIGHT]")]
        base_urls: Vec<String>,
    },
    /// Forget a provider that no model group uses; the configuration may seed it again
    Remove {
        /// Its name
        name: String,
    },
    /// Keys of a provider: add the new one, then disable the old one, and no call fails
    #[command(subcommand)]
    Key(KeyCommand),
    /// Models that a provider offers
    #[command(subcommand)]
    Model(ModelCommand),
}

#[derive(Debug, clap::Subcommand)]
pub(super) enum KeyCommand {
    /// Add a key, read from the standard input; calls use it within a second
    Add {
        #[command(flatten)]
        which: Which,
        /// Read it from this file; a line break at its end does not count
        #[arg(long, value_name = "FILE", conflicts_with = "env")]
        file: Option<PathBuf>,
        /// Read it from this environment variable
        #[arg(long, value_name = "VARIABLE")]
        env: Option<String>,
        /// Share of the calls, relative to the other keys
        #[arg(long, default_value_t = 1)]
        weight: i64,
        /// The only address of the provider that takes it [default: each does]
        #[arg(long, value_name = "URL")]
        base_url: Option<String>,
    },
    /// List a provider's keys
    List {
        /// Name of the provider
        provider: String,
    },
    /// Give a key another share of the calls
    Set {
        #[command(flatten)]
        which: Which,
        /// Share of the calls, relative to the other keys
        #[arg(long)]
        weight: i64,
    },
    /// Let calls use a key again
    Enable(Which),
    /// Let no call begin with a key; servers follow within a second
    Disable(Which),
    /// Forget a key
    Remove(Which),
}

#[derive(Debug, clap::Subcommand)]
pub(super) enum ModelCommand {
    /// Offer a model, or change how one is offered
    Set {
        /// Name of the provider
        provider: String,
        /// As the provider names the model
        code: String,
        /// For people [default: the code]
        #[arg(long)]
        name: Option<String>,
        /// Tokens of input and output together
        #[arg(long, value_name = "TOKENS")]
        context_window: Option<u32>,
        /// Tokens of output
        #[arg(long, value_name = "TOKENS")]
        max_output_tokens: Option<u32>,
        /// Makes it a smart model: one that this stands for, of this provider or as PROVIDER/CODE of another; @32000 behind it
        /// for requests of up to so many tokens
        #[arg(long = "route", value_name = "CODE[@TOKENS]")]
        routes: Vec<String>,
        /// In which order the routes that fit a request are tried: declared or price
        #[arg(long, default_value = "declared")]
        order: String,
    },
    /// List the models that a provider offers
    List {
        /// Name of the provider
        provider: String,
    },
    /// Offer a model no more; model groups that have it keep it
    Remove {
        /// Name of the provider
        provider: String,
        /// The model
        code: String,
    },
}

/// A key of a provider.
#[derive(Debug, clap::Args)]
pub(super) struct Which {
    /// Name of the provider
    provider: String,
    /// Name of the key, such as 2027-01
    key: String,
}

pub(super) async fn run(admin: &Admin, command: &Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::List => list(admin).await?,
        Command::Add { name, api, base_urls } => {
            let actor = admin.actor(&admin.account(None).await?, "CreateSystemProvider");
            let endpoints = base_urls.iter().map(|text| endpoint(text)).collect();
            admin.models.create_system_provider(actor, name.clone(), dialect(api)?, endpoints).await?;
        }
        Command::Set { name, api, base_urls } => {
            let api = api.as_deref().map(dialect).transpose()?;
            let endpoints = base_urls.iter().map(|text| endpoint(text)).collect::<Vec<_>>();
            let endpoints = (!endpoints.is_empty()).then_some(endpoints);
            if api.is_none() && endpoints.is_none() {
                return Err(
                    UsageError("nothing is to be changed: give --api or --base-url".to_owned()).into()
                );
            }
            let actor = admin.actor(&admin.account(None).await?, "UpdateSystemProvider");
            let change = SystemProviderChange { api, endpoints };
            admin.models.update_system_provider(actor, name.clone(), change).await?;
        }
        Command::Remove { name } => {
            let actor = admin.actor(&admin.account(None).await?, "DeleteSystemProvider");
            admin.models.delete_system_provider(actor, name.clone()).await?;
            if admin.config.system_providers.iter().any(|seed| seed.name == *name) {
                eprintln!("{name} is still in the configuration, which seeds it again at the next start");
            }
        }
        Command::Key(command) => key(admin, command).await?,
        Command::Model(command) => model(admin, command).await?,
    }
    Ok(ExitCode::SUCCESS)
}

fn dialect(word: &str) -> Result<ProviderApi, UsageError> {
    word.parse().map_err(|_| UsageError(format!("--api must be one of {}", ProviderApi::WORDS)))
}

/// `URL` or `URL@WEIGHT`; whether the address can be called is checked where it is stored.
fn endpoint(text: &str) -> SystemEndpoint {
    let weighted = text.rsplit_once('@').and_then(|(url, weight)| Some((url, weight.parse().ok()?)));
    let (url, weight) = weighted.unwrap_or((text, 1));
    SystemEndpoint { base_url: url.to_owned(), weight }
}

async fn find(admin: &Admin, name: &str) -> anyhow::Result<SystemProvider> {
    let providers = admin.models.list_system_providers().await?;
    let found = providers.into_iter().find(|provider| provider.name == name);
    Ok(found.ok_or_else(|| ModelError::NoSystemProvider(name.to_owned()))?)
}

async fn list(admin: &Admin) -> anyhow::Result<()> {
    let mut rows: Vec<Value> = Vec::new();
    for provider in admin.models.list_system_providers().await? {
        let enabled = provider.keys.iter().filter(|key| key.enabled).count();
        rows.extend(provider.endpoints.iter().map(|endpoint| {
            json!({
                "Name": provider.name,
                "Api": provider.api.as_str(),
                "BaseUrl": endpoint.base_url,
                "Weight": endpoint.weight,
                "Keys": enabled,
                "Models": provider.models.len(),
                "From": if provider.edited { "store" } else { "configuration" },
            })
        }));
    }
    print_rows(admin.output, &["Name", "Api", "BaseUrl", "Weight", "Keys", "Models", "From"], &rows)
}

async fn key(admin: &Admin, command: &KeyCommand) -> anyhow::Result<()> {
    let change = async |which: &Which, change: SystemKeyChange| {
        let actor = admin.actor(&admin.account(None).await?, "UpdateSystemProviderKey");
        let (provider, key) = (which.provider.clone(), which.key.clone());
        admin.models.update_system_key(actor, provider, key, change).await?;
        anyhow::Ok(())
    };
    match command {
        KeyCommand::Add { which, file, env, weight, base_url } => {
            let new = NewSystemKey {
                name: which.key.clone(),
                key: read_key(file.as_ref(), env.as_deref())?,
                base_url: base_url.clone(),
                weight: *weight,
            };
            let actor = admin.actor(&admin.account(None).await?, "CreateSystemProviderKey");
            admin.models.create_system_key(actor, which.provider.clone(), new).await?;
        }
        KeyCommand::List { provider } => {
            let provider = find(admin, provider).await?;
            let row = |key: &SystemKey| {
                json!({
                    "Name": key.name,
                    "Key": admin.models.shown_system_key(&provider, key),
                    "Status": if key.enabled { "Enabled" } else { "Disabled" },
                    "Weight": key.weight,
                    "BaseUrl": key.base_url,
                    "CreatedTime": shown_time(key.created_at_ms),
                })
            };
            let rows: Vec<Value> = provider.keys.iter().map(row).collect();
            let columns = ["Name", "Key", "Status", "Weight", "BaseUrl", "CreatedTime"];
            print_rows(admin.output, &columns, &rows)?;
        }
        KeyCommand::Set { which, weight } => {
            change(which, SystemKeyChange { weight: Some(*weight), enabled: None }).await?;
        }
        KeyCommand::Enable(which) => {
            change(which, SystemKeyChange { weight: None, enabled: Some(true) }).await?;
        }
        KeyCommand::Disable(which) => {
            change(which, SystemKeyChange { weight: None, enabled: Some(false) }).await?;
        }
        KeyCommand::Remove(which) => {
            let actor = admin.actor(&admin.account(None).await?, "DeleteSystemProviderKey");
            admin.models.delete_system_key(actor, which.provider.clone(), which.key.clone()).await?;
        }
    }
    Ok(())
}

fn read_key(file: Option<&PathBuf>, variable: Option<&str>) -> anyhow::Result<Secret> {
    let clear = match (file, variable) {
        (Some(path), _) => {
            std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?
        }
        (None, Some(name)) => std::env::var(name)
            .map_err(|_| UsageError(format!("the environment variable {name} is not set")))?,
        (None, None) => {
            let mut clear = String::new();
            std::io::stdin().take(KEY_BYTES_MAX).read_to_string(&mut clear).context("reading the key")?;
            clear
        }
    };
    Ok(Secret::new(clear.trim_end_matches(['\n', '\r']).to_owned()))
}

async fn model(admin: &Admin, command: &ModelCommand) -> anyhow::Result<()> {
    match command {
        ModelCommand::Set { provider, code, name, context_window, max_output_tokens, routes, order } => {
            let order = order.parse();
            let order =
                order.map_err(|_| UsageError(format!("--order must be one of {}", RouteOrder::WORDS)))?;
            let providers = admin.models.list_system_providers().await?;
            let routes: Vec<_> = routes.iter().map(|text| route(text, provider, &providers)).collect();
            let model = SystemModel {
                smart: (!routes.is_empty()).then_some(SmartModel { order, routes }),
                code: code.clone(),
                name: name.clone().unwrap_or_else(|| code.clone()),
                context_window: context_window.map(i64::from),
                max_output_tokens: max_output_tokens.map(i64::from),
            };
            let actor = admin.actor(&admin.account(None).await?, "PutSystemModel");
            admin.models.put_system_model(actor, provider.clone(), model).await?;
        }
        ModelCommand::List { provider } => {
            let provider = find(admin, provider).await?;
            let row = |model: &SystemModel| {
                json!({
                    "Code": model.code,
                    "Name": model.name,
                    "ContextWindow": model.context_window,
                    "MaxOutputTokens": model.max_output_tokens,
                    "Order": model.smart.as_ref().map(|smart| smart.order.as_str()),
                    "Routes": model.smart.as_ref().map(shown_routes),
                })
            };
            let rows: Vec<Value> = provider.models.iter().map(row).collect();
            let columns = ["Code", "Name", "ContextWindow", "MaxOutputTokens", "Order", "Routes"];
            print_rows(admin.output, &columns, &rows)?;
        }
        ModelCommand::Remove { provider, code } => {
            let actor = admin.actor(&admin.account(None).await?, "DeleteSystemModel");
            admin.models.delete_system_model(actor, provider.clone(), code.clone()).await?;
        }
    }
    Ok(())
}

/// `CODE`, `PROVIDER/CODE`, either with `@TOKENS` behind it; a code may have slashes of its own.
fn route(text: &str, own: &str, providers: &[SystemProvider]) -> SystemRoute {
    let bound = text.rsplit_once('@').and_then(|(name, tokens)| Some((name, Some(tokens.parse().ok()?))));
    let (name, context_tokens_max) = bound.unwrap_or((text, None));
    let named = name.split_once('/').filter(|(first, _)| providers.iter().any(|known| known.name == *first));
    let (provider, code) = named.unwrap_or((own, name));
    SystemRoute { provider_name: provider.to_owned(), model_code: code.to_owned(), context_tokens_max }
}

fn shown_routes(smart: &SmartModel) -> String {
    let shown = smart.routes.iter().map(|route| {
        let bound = route.context_tokens_max.map(|tokens| format!("@{tokens}")).unwrap_or_default();
        format!("{}/{}{bound}", route.provider_name, route.model_code)
    });
    shown.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_may_have_a_weight() {
        for (text, base_url, weight) in [
            ("https://host/v1", "https://host/v1", 1),
            ("https://host/v1@3", "https://host/v1", 3),
            ("https://host/@team", "https://host/@team", 1),
        ] {
            assert_eq!(endpoint(text), SystemEndpoint { base_url: base_url.to_owned(), weight }, "{text}");
        }
    }

    #[test]
    fn a_route_names_a_model_of_any_provider_and_its_bound() {
        let known = SystemProvider {
            name: "other".to_owned(),
            api: ProviderApi::OpenAiCompletions,
            edited: true,
            endpoints: Vec::new(),
            keys: Vec::new(),
            models: Vec::new(),
        };
        for (text, provider, code, bound) in [
            ("m", "own", "m", None),
            ("m@32000", "own", "m", Some(32_000)),
            ("other/m@5", "other", "m", Some(5)),
            ("maker/m", "own", "maker/m", None),
            ("other/maker/m@latest", "other", "maker/m@latest", None),
        ] {
            let found = route(text, "own", std::slice::from_ref(&known));
            let expect = (provider, code, bound);
            assert_eq!(
                (found.provider_name.as_str(), found.model_code.as_str(), found.context_tokens_max),
                expect
            );
        }
    }
}
