//! CreateMultiOrder: orders credit packs, an order for each item.

use creel_control::access::Actor;
use creel_control::order::Prepared;
use creel_wire::error::ApiError;
use creel_wire::ops::order::create_multi_order::{Input, OrderItems, Output};

use super::{Item, api_error};
use crate::app::App;

/// All items or none. Whoever approves is asked before anything is written, and not again for the same ClientToken.
pub(crate) async fn handle(app: &App, actor: Actor, input: Input) -> Result<Output, ApiError> {
    let wanted = input.order_items.into_iter().map(item).collect();
    let items = super::items(app, input.order_type.as_deref(), wanted)?;
    let order_ids = match app.orders.prepare(&actor, items).await.map_err(api_error)? {
        Prepared::Replayed(ids) => ids,
        Prepared::New(priced) => {
            let approval = app.order_approval.of(&actor, &priced, app.orders.currency()).await?;
            app.orders.place(actor, priced, approval).await.map_err(api_error)?
        }
    };
    Ok(Output { order_ids: Some(order_ids) })
}

fn item(item: OrderItems) -> Item {
    Item {
        resource_type: Some(item.resource_type),
        components: item.components.into_iter().map(|part| (part.key, part.value)).collect(),
        amount: item.amount,
        period: item.period,
        period_unit: item.period_unit,
        resource_ids: item.resource_ids,
    }
}
