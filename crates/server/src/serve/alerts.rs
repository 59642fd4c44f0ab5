//! Tells the operator's webhook that quotas and packs near their end.

use std::time::Duration;

use creel_control::ledger::Alert;
use serde_json::{Value, json};

use super::ServeError;
use crate::app::App;
use crate::ops::{chain, shown_time};
use crate::webhook::Webhook;
use creel_wire::time::TimeFormat;

/// How often alerts are looked for.
const LOOK_EVERY: Duration = Duration::from_secs(1);

pub(super) fn start(app: &App) -> Result<(), ServeError> {
    let Some(config) = &app.config.alerts.webhook else { return Ok(()) };
    let webhook = Webhook::new(config, app.clock.clone())?;
    let (credits, cancel) = (app.credits.clone(), app.tasks.cancelled());
    app.tasks.spawn("credit-alerts", async move {
        while cancel.run_until_cancelled(tokio::time::sleep(LOOK_EVERY)).await.is_some() {
            let alerts = match credits.claim_alerts().await {
                Ok(alerts) => alerts,
                Err(error) => {
                    tracing::warn!(error = %chain(&error), "alerts cannot be looked for; trying again");
                    continue;
                }
            };
            for alert in alerts {
                // A stop in between leaves the alert to whoever looks after the claim has ended.
                let Some(answer) = cancel.run_until_cancelled(webhook.post(&alert.id, &body(&alert))).await else {
                    return;
                };
                if let Err(error) = &answer {
                    tracing::warn!(alert.id = %alert.id, attempt = alert.attempts, error = %error, "an alert was not delivered");
                }
                match credits.end_alert(&alert, answer.is_ok()).await {
                    Ok(false) => {}
                    Ok(true) => tracing::error!(alert.id = %alert.id, "the alert {} is given up", alert.id),
                    Err(error) => {
                        tracing::warn!(alert.id = %alert.id, error = %chain(&error), "an alert may be delivered again");
                    }
                }
            }
        }
    });
    Ok(())
}

fn body(alert: &Alert) -> Value {
    json!({
        "Event": "CreditAlert",
        "AlertId": alert.id,
        "AccountId": alert.account_id.as_str(),
        "Kind": alert.kind,
        "SubjectId": alert.subject_id,
        "QuotaCredits": alert.quota.to_string(),
        "UsedCredits": alert.used.to_string(),
        "WarnPercent": alert.warn_percent,
        "Time": shown_time(alert.created_at_ms, TimeFormat::Seconds),
    })
}
