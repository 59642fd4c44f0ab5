//! ListModelProviderEndpoints: known providers and their addresses.

use creel_control::access::Actor;
use creel_control::model::{AgentPlatform, GroupAgent, KnownEndpoint, KnownProvider, known_providers};
use creel_wire::error::ApiError;
use creel_wire::ops::model_provider::list_model_provider_endpoints::{Data, DataEndpoints, Input, Output};

use crate::app::App;
use crate::ops::model_group::{given, given_word};

pub(crate) async fn handle(_app: &App, _actor: Actor, input: Input) -> Result<Output, ApiError> {
    // Every known provider serves every program and platform; only a word that names none is wrong.
    given_word::<GroupAgent>("AgentProvider", input.agent_provider)?;
    given_word::<AgentPlatform>("AgentPlatform", input.agent_platform)?;
    let name = given(input.provider_name);
    let wanted = |known: &&KnownProvider| name.as_ref().is_none_or(|name| *name == known.provider_name);
    Ok(Output { data: Some(known_providers().iter().filter(wanted).map(shown).collect()) })
}

fn shown(known: &KnownProvider) -> Data {
    let endpoint = |endpoint: &KnownEndpoint| DataEndpoints {
        api_type: Some(endpoint.api.as_str().to_owned()),
        base_url: Some(endpoint.base_url.clone()),
        description: Some(endpoint.description.clone()),
        name: Some(endpoint.name.clone()),
        provider_url: Some(known.provider_url.clone()),
        tags: Some(endpoint.tags.clone()),
    };
    Data {
        description: Some(known.description.clone()),
        endpoints: Some(known.endpoints.iter().map(endpoint).collect()),
        provider_name: Some(known.provider_name.clone()),
        provider_url: Some(known.provider_url.clone()),
    }
}
