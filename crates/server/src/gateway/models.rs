//! The models that a key opens, in OpenAI's form and in Anthropic's.

use bytes::Bytes;
use creel_llm::dialect::Dialect;
use http::{Response, StatusCode};
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use super::ports::{AgentAccess, Route};
use super::refusal::{self, Denial, Problem};

/// When a model came to be, which nobody knows here; what Anthropic says then.
const UNKNOWN_TIME: &str = "1970-01-01T00:00:00Z";

/// All of them: groups are small, so there is one page.
pub(super) fn list(access: &AgentAccess, dialect: Dialect) -> Response<Bytes> {
    let models = access.group.iter().flat_map(|group| group.models());
    let data: Vec<Value> = models.map(|(name, route)| shown(&name, &route, dialect)).collect();
    if !dialect.is_anthropic() {
        return refusal::json(&json!({"object": "list", "data": data}));
    }
    let id = |model: Option<&Value>| model.and_then(|model| model.get("id")).cloned();
    let (first, last) = (id(data.first()), id(data.last()));
    refusal::json(&json!({"data": data, "has_more": false, "first_id": first, "last_id": last}))
}

/// One of them, by any name under which it can be called; `name` as it stands in the path.
pub(super) fn one(
    find: impl FnOnce(&str) -> Result<Route, Denial>,
    name: &str,
    dialect: Dialect,
) -> Result<Response<Bytes>, Problem> {
    let absent = || {
        let text = "There is no such model, or your administrator does not allow it for this agent.";
        Problem::invalid(StatusCode::NOT_FOUND, "model_not_found", text).about(Some("model"))
    };
    let name = percent_decode_str(name).decode_utf8().map_err(|_| absent())?;
    match find(&name) {
        Ok(route) => Ok(refusal::json(&shown(&name, &route, dialect))),
        Err(denial @ Denial::ModelAmbiguous) => Err(denial.problem()),
        Err(_) => Err(absent()),
    }
}

fn shown(name: &str, route: &Route, dialect: Dialect) -> Value {
    let model = &route.model;
    if dialect.is_anthropic() {
        return json!({
            "type": "model", "id": name, "display_name": &*model.name, "created_at": UNKNOWN_TIME, "lifecycle": "active",
            "max_input_tokens": model.context_tokens_max, "max_tokens": model.output_tokens_max,
        });
    }
    json!({"id": name, "object": "model", "created": 0, "owned_by": &*route.provider.name})
}
