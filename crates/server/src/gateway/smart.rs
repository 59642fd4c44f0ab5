//! Smart models: for each call one of the models that they stand for, and others if it gives no answer.
//!
//! A route fits a request that its context can hold. Of those that fit, the order is the operator's or goes by what
//! the request would cost. What is reserved and billed is the route that is asked; another one takes a reservation of
//! its own, after that of the one before is given back.

use creel_llm::convert::OUTPUT_TOKENS_DEFAULT;
use creel_llm::request::Request;
use creel_llm::usage::Usage;

use super::ports::{Order, Route, Smart, Tier, Way};
use super::refusal::Denial;

/// Bytes of a request that are taken for a token of its context: few enough for text without spaces, so that English goes
/// to a larger context rather early.
const BYTES_PER_TOKEN: u64 = 3;

/// The way of a call, and the ways that are left, the next one last.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) route: Route,
    pub(super) way: Way,
    pub(super) rest: Vec<Route>,
    pub(super) is_smart: bool,
}

/// Where a request for a model goes.
pub(super) fn plan(route: Route, request: &Request, body_bytes: u64) -> Result<Plan, Denial> {
    let way = |route: &Route| route.provider.upstream.way(request.dialect());
    let Some(smart) = &route.model.smart else {
        let way = way(&route).ok_or(Denial::NoConversion)?;
        return Ok(Plan { route, way, rest: Vec::new(), is_smart: false });
    };
    let mut routes = fitting(smart, request, body_bytes, |tier| way(&tier.route).is_some());
    routes.reverse();
    let route = routes.pop().ok_or(Denial::NoRoute)?;
    let way = way(&route).ok_or(Denial::NoRoute)?;
    Ok(Plan { route, way, rest: routes, is_smart: true })
}

/// The routes that fit, best first; the one of the largest context where none does.
fn fitting(
    smart: &Smart,
    request: &Request,
    body_bytes: u64,
    is_callable: impl Fn(&&Tier) -> bool,
) -> Vec<Route> {
    let input = body_bytes.div_ceil(BYTES_PER_TOKEN);
    let context = match request.input_is_whole() {
        true => input.saturating_add(request.output_tokens_max().unwrap_or(0)),
        false => u64::MAX,
    };
    let fits = |tier: &&Tier| tier.context_tokens_max.is_none_or(|max| context <= max);
    let mut fitting: Vec<&Tier> = smart.tiers.iter().filter(&is_callable).filter(fits).collect();
    if fitting.is_empty() {
        let largest = smart.tiers.iter().filter(is_callable);
        return largest
            .max_by_key(|tier| tier.context_tokens_max)
            .map(|tier| tier.route.clone())
            .into_iter()
            .collect();
    }
    if smart.order == Order::Price {
        fitting.sort_by_key(|tier| {
            let model = &tier.route.model;
            let output = request.output_tokens_wanted(model.output_tokens_max, OUTPUT_TOKENS_DEFAULT);
            let usage = Usage { input, output, ..Usage::default() };
            // What has no price is refused where it would be billed: last.
            model.card.map_or(i64::MAX, |card| card.cost(&usage).0)
        });
    }
    fitting.into_iter().map(|tier| tier.route.clone()).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use creel_control::model::ProviderApi;
    use creel_llm::dialect::Dialect;
    use creel_llm::price::RateCard;
    use creel_wire::id::ProviderId;

    use super::*;
    use crate::gateway::ports::{Model, Provider, Upstream};

    fn route(code: &str, api: ProviderApi, price: Option<i64>, smart: Option<Smart>) -> Route {
        // Whole credits, so that no two round to the same.
        let card = |credits: i64| RateCard {
            input: credits * 1_000_000,
            cached_input: credits * 1_000_000,
            cache_write: credits * 1_000_000,
            output: credits * 1_000_000,
            multiplier_micros: 1_000_000,
        };
        let model = Model {
            code: code.into(),
            name: code.into(),
            context_tokens_max: None,
            output_tokens_max: None,
            card: price.map(card),
            smart: smart.map(Arc::new),
        };
        let provider = Provider {
            id: ProviderId::parse("mpt-p").expect("an id"),
            name: "p".into(),
            upstream: Upstream::new(api, Vec::new()),
            billed: true,
            models: Vec::new(),
        };
        Route { provider: Arc::new(provider), model: Arc::new(model) }
    }

    /// The codes of the ways of a request of `bytes`, in the order in which they are gone.
    fn ways(
        order: Order,
        dialect: Dialect,
        bytes: u64,
        tiers: &[(&str, ProviderApi, Option<i64>, Option<u64>)],
    ) -> Vec<String> {
        let tiers = tiers.iter().map(|(code, api, price, context_tokens_max)| Tier {
            context_tokens_max: *context_tokens_max,
            route: route(code, *api, *price, None),
        });
        let smart = Smart { order, tiers: tiers.collect() };
        let body: &[u8] = br#"{"model":"auto","max_tokens":10}"#;
        let request = Request::read(dialect, body).expect("a request");
        let asked = route("auto", ProviderApi::OpenAiCompletions, None, Some(smart));
        let Ok(plan) = plan(asked, &request, bytes) else { return Vec::new() };
        let all = std::iter::once(&plan.route).chain(plan.rest.iter().rev());
        all.map(|route| route.model.code.to_string()).collect()
    }

    use ProviderApi::{OpenAiCompletions as Chat, OpenAiResponses as Responses};

    #[test]
    fn a_request_goes_where_it_fits_in_the_declared_order() {
        let tiers = [
            ("small", Chat, Some(9), Some(100)),
            ("large", Chat, Some(1), Some(1_000)),
            ("any", Chat, Some(5), None),
        ];
        let declared = |bytes| ways(Order::Declared, Dialect::Chat, bytes, &tiers);
        assert_eq!(declared(270), ["small", "large", "any"], "90 tokens and 10 of output");
        assert_eq!(declared(271), ["large", "any"]);
        assert_eq!(declared(30_000), ["any"]);
        assert_eq!(declared(30_000_000), ["any"]);
    }

    #[test]
    fn the_cheapest_goes_first_where_price_decides() {
        let tiers = [
            ("dear", Chat, Some(9), None),
            ("free", Chat, None, None),
            ("cheap", Chat, Some(1), Some(100)),
            ("fair", Chat, Some(5), None),
        ];
        assert_eq!(ways(Order::Price, Dialect::Chat, 30, &tiers), ["cheap", "fair", "dear", "free"]);
        assert_eq!(ways(Order::Price, Dialect::Chat, 3_000, &tiers), ["fair", "dear", "free"]);
    }

    #[test]
    fn what_fits_nowhere_goes_to_the_largest_and_other_dialects_are_left_out() {
        let tiers = [
            ("small", Chat, None, Some(10)),
            ("large", Chat, None, Some(100)),
            ("other", Responses, None, None),
        ];
        assert_eq!(ways(Order::Declared, Dialect::Chat, 3_000, &tiers), ["large"]);
        assert_eq!(ways(Order::Declared, Dialect::Responses, 3_000, &tiers), ["other"]);
        assert!(ways(Order::Declared, Dialect::Responses, 3_000, &tiers[..2]).is_empty());
    }
}
