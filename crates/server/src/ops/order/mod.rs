//! Orders of credit packs.

pub(crate) mod create_multi_order;
pub(crate) mod describe_credit_orders;
pub(crate) mod describe_multi_price;

use creel_control::order::{OrderError, OrderItem, Term, TermUnit};
use creel_wire::error::{ApiError, ErrorCode};
use creel_wire::money::Micros;

use crate::app::App;

/// The one thing that is sold.
const CREDIT_PACKAGE: &str = "CreditPackage";
/// The component that says how large a pack is.
const AMOUNT_SPEC: &str = "CreditPackageAmountSpec";
/// Items of one order.
const ITEMS_MAX: usize = 20;

/// An item of either operation.
struct Item {
    resource_type: Option<String>,
    /// Key and value.
    components: Vec<(Option<String>, Option<String>)>,
    amount: Option<i64>,
    period: Option<i64>,
    period_unit: Option<String>,
    resource_ids: Vec<String>,
}

fn wrong(message: impl Into<String>) -> ApiError {
    ApiError::invalid("OrderItems", message)
}

/// What the items mean, for an order of this type.
fn items(app: &App, order_type: Option<&str>, items: Vec<Item>) -> Result<Vec<OrderItem>, ApiError> {
    if !matches!(order_type, None | Some("create")) {
        let message = "Only orders of the type create are taken: packs are not changed, renewed or refunded.";
        return Err(ApiError::invalid("OrderType", message));
    }
    if items.is_empty() {
        return Err(ApiError::missing("OrderItems"));
    }
    if items.len() > ITEMS_MAX {
        return Err(wrong("An order has at most 20 items."));
    }
    items.into_iter().map(|wanted| item(app, wanted)).collect()
}

fn item(app: &App, wanted: Item) -> Result<OrderItem, ApiError> {
    if wanted.resource_type.as_deref() != Some(CREDIT_PACKAGE) {
        return Err(wrong(
            "The ResourceType of each of OrderItems must be CreditPackage: nothing else is sold here.",
        ));
    }
    let mut credits = None;
    for (key, value) in &wanted.components {
        match (key.as_deref(), value.as_deref()) {
            (Some(AMOUNT_SPEC), Some(value)) => credits = value.parse::<Micros>().ok(),
            (Some("RegionId"), Some(region)) => app.check_region(region)?,
            _ => {
                return Err(wrong(
                    "Components may be CreditPackageAmountSpec and RegionId, each with a Value.",
                ));
            }
        }
    }
    let credits = credits.filter(|credits| *credits > Micros::ZERO).ok_or_else(|| {
        wrong("Each of OrderItems needs a Component CreditPackageAmountSpec with the credits of a pack.")
    })?;
    let unit = match wanted.period_unit.as_deref() {
        None | Some("Month") => TermUnit::Month,
        Some(_) => TermUnit::Year,
    };
    let runtimes = i64::try_from(wanted.resource_ids.len()).unwrap_or(i64::MAX);
    let packs = match (wanted.amount, runtimes) {
        (amount, 0) => amount.unwrap_or(1),
        (None, runtimes) => runtimes,
        (Some(amount), runtimes) if amount == runtimes => runtimes,
        _ => {
            return Err(wrong(
                "With ResourceIds each gets a pack of its own: leave out Amount, or give their number.",
            ));
        }
    };
    let term = Term { number: wanted.period.unwrap_or(1), unit };
    Ok(OrderItem { credits, term, packs, runtime_ids: wanted.resource_ids })
}

/// An amount as the API shows prices; the exact one is in DescribeCreditOrders.
#[expect(clippy::cast_precision_loss, reason = "the wire has a number here; nothing is computed from it")]
fn shown_price(price: Micros) -> f64 {
    price.0 as f64 / creel_wire::money::MICROS_PER_CREDIT as f64
}

pub(crate) fn api_error(error: OrderError) -> ApiError {
    let text = format!("{}.", super::sentence(&error.to_string()));
    match error {
        OrderError::NotOffered { .. } => ApiError::new(ErrorCode::ORDER_NOT_OFFERED, text),
        OrderError::RuntimeNotFound(_) => ApiError::new(ErrorCode::RUNTIME_NOT_FOUND, text),
        OrderError::TooManyPending => ApiError::new(ErrorCode::QUOTA_EXCEEDED, text),
        OrderError::PriceTooLarge => wrong(text),
        OrderError::NotFound(_) | OrderError::AlreadyDecided(_) => ApiError::invalid("OrderIds", text),
        OrderError::Access(error) => super::access_error(&error),
        OrderError::Store(error) => super::store_error(&error),
    }
}
