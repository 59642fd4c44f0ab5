//! Who approves orders of credit packs: nobody has to, the operator by `creel admin order`, or an address of the
//! operator's, which is asked before anything is written.

use std::sync::Arc;

use creel_control::access::Actor;
use creel_control::clock::Clock;
use creel_control::order::{Approval, PricedItem, REASON_CHARS_MAX};
use creel_wire::error::{ApiError, ErrorCode};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::config::{ApprovalKind, OrdersConfig};
use crate::webhook::{Webhook, WebhookError};

/// Approves orders or has them wait.
#[derive(Debug)]
pub(crate) enum OrderApproval {
    Automatic,
    Manual,
    Webhook(Box<Webhook>),
}

/// What the webhook answers.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    decision: Decision,
    #[serde(default)]
    reason: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Decision {
    Approve,
    Deny,
}

impl OrderApproval {
    /// As the operator has configured it.
    pub(crate) fn new(config: &OrdersConfig, clock: Arc<dyn Clock>) -> Result<Self, rustls::Error> {
        Ok(match (config.approval, &config.webhook) {
            (ApprovalKind::Automatic, _) => Self::Automatic,
            (ApprovalKind::Webhook, Some(webhook)) => Self::Webhook(Box::new(Webhook::new(webhook, clock)?)),
            // Without its webhook, an approval by it is refused when the configuration is read.
            (ApprovalKind::Manual | ApprovalKind::Webhook, _) => Self::Manual,
        })
    }

    /// What is to become of these orders; an error if they are denied or nobody could be asked.
    pub(crate) async fn of(
        &self,
        actor: &Actor,
        items: &[PricedItem],
        currency: &str,
    ) -> Result<Approval, ApiError> {
        let webhook = match self {
            Self::Automatic => return Ok(Approval::Given),
            Self::Manual => return Ok(Approval::Awaited),
            Self::Webhook(webhook) => webhook,
        };
        let answer = match webhook.post(&actor.request_id, &question(actor, items, currency)).await {
            Ok(text) => serde_json::from_slice::<Answer>(&text).map_err(|_| WebhookError::Meaning),
            Err(error) => Err(error),
        };
        match answer {
            Ok(Answer { decision: Decision::Approve, .. }) => Ok(Approval::Given),
            Ok(Answer { decision: Decision::Deny, reason }) => {
                Err(ApiError::new(ErrorCode::ORDER_DENIED, denied(&reason)))
            }
            Err(error) => {
                tracing::warn!(request.id = %actor.request_id, error = %error, "an order could not be approved");
                let text =
                    "The order was not placed: nobody could be asked for its approval now. Try again later.";
                Err(ApiError::new(ErrorCode::ORDER_NOT_APPROVED, text))
            }
        }
    }
}

fn question(actor: &Actor, items: &[PricedItem], currency: &str) -> Value {
    let items: Vec<Value> = items
        .iter()
        .map(|PricedItem { item, price }| {
            json!({
                "CreditAmount": item.credits.to_string(),
                "Amount": item.packs,
                "Period": item.term.number,
                "PeriodUnit": item.term.unit.as_str(),
                "ResourceIds": item.runtime_ids,
                "Price": price.to_string(),
            })
        })
        .collect();
    json!({
        "Event": "OrderApproval",
        "RequestId": actor.request_id,
        "AccountId": actor.account_id.as_str(),
        "Principal": actor.principal_name(),
        "Currency": currency,
        "OrderItems": items,
    })
}

/// The reason is shown to whoever ordered: as one line of limited length.
fn denied(reason: &str) -> String {
    let reason: String = reason.chars().filter(|c| !c.is_control()).take(REASON_CHARS_MAX).collect();
    match reason.trim().trim_end_matches('.') {
        "" => "The order was denied.".to_owned(),
        reason => format!("The order was denied: {reason}."),
    }
}
