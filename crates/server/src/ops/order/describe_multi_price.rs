//! DescribeMultiPrice: what credit packs cost by the operator's list.

use creel_control::access::Actor;
use creel_control::order::PricedItem;
use creel_wire::error::ApiError;
use creel_wire::money::Micros;
use creel_wire::ops::order::describe_multi_price::{
    Input, OrderItems, Output, PriceInfo, PriceInfoPrice, PriceInfoPricePriceDetails as Detail,
    PriceInfoPricePriceDetailsModuleDetails as Module, PriceInfoPricePriceDetailsPriceDetail as ItemPrice,
};

use super::{AMOUNT_SPEC, CREDIT_PACKAGE, Item, api_error, shown_price};
use crate::app::App;

/// There are no discounts: what is to be paid is the price of the list.
pub(crate) async fn handle(app: &App, _: Actor, input: Input) -> Result<Output, ApiError> {
    let wanted = input.order_items.into_iter().map(item).collect();
    let items = super::items(app, input.order_type.as_deref(), wanted)?;
    let priced = app.orders.quote(items).await.map_err(api_error)?;
    let total = priced.iter().fold(0i64, |sum, item| sum.saturating_add(item.price.0));
    let details = priced.iter().zip(1i64..).map(|(priced, number)| shown(priced, number));
    let price = PriceInfoPrice {
        currency: Some(app.orders.currency().to_owned()),
        original_price: Some(shown_price(Micros(total))),
        discount_price: Some(0.0),
        trade_price: Some(shown_price(Micros(total))),
        price_details: Some(details.collect()),
        ..PriceInfoPrice::default()
    };
    Ok(Output { price_info: Some(PriceInfo { price: Some(price), ..PriceInfo::default() }) })
}

fn shown(priced: &PricedItem, number: i64) -> Detail {
    let price = Some(shown_price(priced.price));
    let module = Module {
        module_code: Some(AMOUNT_SPEC.to_owned()),
        module_name: Some(format!("{} credits for {}", priced.item.credits, priced.item.term)),
        module_value: Some(priced.item.credits.to_string()),
        original_price: price,
        discount_price: Some(0.0),
        trade_price: price,
        ..Module::default()
    };
    let item = ItemPrice {
        resource_type: Some(CREDIT_PACKAGE.to_owned()),
        original_price: price,
        discount_price: Some(0.0),
        trade_price: price,
        ..ItemPrice::default()
    };
    Detail { order_item: Some(number), price_detail: Some(item), module_details: Some(vec![module]) }
}

fn item(item: OrderItems) -> Item {
    Item {
        resource_type: item.resource_type,
        components: item.components.into_iter().map(|part| (part.key, part.value)).collect(),
        amount: item.amount,
        period: item.period,
        period_unit: item.period_unit,
        resource_ids: item.resource_ids,
    }
}
