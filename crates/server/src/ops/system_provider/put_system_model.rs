//! PutSystemModel: a model that a provider offers.

use creel_control::access::Actor;
use creel_control::model::{RouteOrder, SmartModel, SystemModel, SystemRoute};
use creel_wire::error::ApiError;
use creel_wire::ops::system_provider::put_system_model::{Input, Output};

use crate::app::App;
use crate::ops::model_group::{given, given_word};

pub(crate) async fn handle(app: &App, actor: Actor, input: Input) -> Result<Output, ApiError> {
    super::check_operator(app, &actor)?;
    let own = &input.provider_name;
    let routes = input.routes.into_iter().map(|route| SystemRoute {
        provider_name: given(route.provider_name).unwrap_or_else(|| own.clone()),
        model_code: route.llm_code.unwrap_or_default(),
        context_tokens_max: route.context_tokens_max,
    });
    let routes: Vec<_> = routes.collect();
    let order = given_word("RouteOrder", input.route_order)?.unwrap_or(RouteOrder::Declared);
    let model = SystemModel {
        smart: (!routes.is_empty()).then_some(SmartModel { order, routes }),
        name: given(input.name).unwrap_or_else(|| input.llm_code.clone()),
        code: input.llm_code,
        context_window: input.context_window,
        max_output_tokens: input.max_output_tokens,
    };
    app.models.put_system_model(actor, input.provider_name, model).await.map_err(super::api_error)?;
    Ok(Output {})
}
