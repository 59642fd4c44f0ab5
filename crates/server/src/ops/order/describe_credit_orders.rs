//! DescribeCreditOrders: orders of credit packs and what became of them, newest first.

use creel_control::access::Actor;
use creel_control::order::OrderView;
use creel_control::page::Cursor;
use creel_wire::error::ApiError;
use creel_wire::ops::order::describe_credit_orders::{Input, Orders, Output};
use creel_wire::time::TimeFormat;

use super::api_error;
use crate::app::App;
use crate::ops::{page_by_token, shown_time};

pub(crate) async fn handle(app: &App, actor: Actor, input: Input) -> Result<Output, ApiError> {
    let (after, limit) = page_by_token(input.next_token.as_deref(), input.max_results, 100, 1_000)?;
    let before = after.map(|cursor| cursor.key);
    let listed =
        app.orders.list(&actor.account_id, &input.order_ids, false, before, limit.saturating_add(1)).await;
    let mut orders = listed.map_err(api_error)?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = orders.len() > limit;
    orders.truncate(limit);
    let last = orders.last().filter(|_| more);
    Ok(Output {
        next_token: last.map(|view| Cursor { key: view.order.id, id: String::new() }.to_token()),
        orders: Some(orders.into_iter().map(shown).collect()),
    })
}

fn shown(OrderView { order, pack_ids }: OrderView) -> Orders {
    let time = |at_ms| shown_time(at_ms, TimeFormat::Seconds);
    let given = |list: Vec<String>| Some(list).filter(|list| !list.is_empty());
    Orders {
        order_id: Some(order.id),
        status: Some(order.status.as_str().to_owned()),
        credit_amount: Some(order.credits.to_string()),
        amount: Some(order.packs),
        period: Some(order.term.number),
        period_unit: Some(order.term.unit.as_str().to_owned()),
        price: Some(order.price.to_string()),
        currency: Some(order.currency),
        resource_ids: given(order.runtime_ids.iter().map(ToString::to_string).collect()),
        credit_package_ids: given(pack_ids.iter().map(ToString::to_string).collect()),
        reason: Some(order.reason).filter(|reason| !reason.is_empty()),
        created_time: Some(time(order.created_at_ms)),
        decided_time: order.decided_at_ms.map(time),
    }
}
