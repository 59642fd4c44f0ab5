//! DescribeCreditUsageInfo: the credits of the account, of packs or of agents.

use creel_control::access::Actor;
use creel_control::ledger::{Subject, UsageInfo, hour_start_ms};
use creel_wire::error::ApiError;
use creel_wire::money::Micros;
use creel_wire::ops::credit::describe_credit_usage_info::{
    Input, Output, UsageInfoList, UsageInfoListUsageInfo as Info,
    UsageInfoListUsageInfoCreditTrendList as TrendPoint,
};
use creel_wire::time::TimeFormat;

use super::api_error;
use crate::app::App;
use crate::ops::shown_time;

pub(crate) async fn handle(app: &App, actor: Actor, input: Input) -> Result<Output, ApiError> {
    let ids = input.instance_ids;
    let subjects = match input.usage_type.as_deref() {
        None | Some("User") => vec![Subject::Account],
        Some(_) if ids.is_empty() => return Err(ApiError::missing("InstanceIds")),
        Some("CreditPackage") => ids.into_iter().map(Subject::Pack).collect(),
        Some(_) => ids.into_iter().map(Subject::Agent).collect(),
    };
    let infos = app.credits.usage(&actor.scope(), subjects).await.map_err(api_error)?;
    Ok(Output { usage_info_list: Some(infos.into_iter().map(shown).collect()) })
}

/// Whole credits: used rounds up, remaining rounds down. The totals in text are exact.
fn shown(info: UsageInfo) -> UsageInfoList {
    let total = info.total.map(Micros::credits_floor);
    let remaining = info.remaining().map(Micros::credits_floor);
    let used = Some(info.used.credits_ceil());
    let trend = info.trend.iter().map(|(hour, micros)| TrendPoint {
        time_point: Some(shown_time(hour_start_ms(*hour), TimeFormat::SpacedHours)),
        used_credit: Some(micros.credits_ceil()),
    });
    let expired = info.current.as_ref().and_then(|pack| pack.expires_at_ms);
    let shown = Info {
        available_amount: remaining,
        credit_trend_list: Some(trend.collect()),
        current_instance_expired_time: expired.map(|at| shown_time(at, TimeFormat::SpacedSeconds)),
        current_instance_id: info.current.map(|pack| pack.id.to_string()),
        current_remain_credit: remaining,
        current_total_credit: total,
        current_used_credit: used,
        day_used_credit: Some(info.used_day.credits_ceil()),
        last_triggered_at: info.warned_at_ms.map(|at| shown_time(at, TimeFormat::SpacedSeconds)),
        period_total_credit: total,
        period_used_credit: Some(info.used_period.credits_ceil()),
        remain_credit: remaining,
        today_used: Some(info.used_day.to_string()),
        total_credit: total,
        total_used: Some(info.used_ever.to_string()),
        total_used_credit: Some(info.used_ever.credits_ceil()),
        warn_percent: Some(info.warn_percent),
        week_used_credit: Some(info.used_week.credits_ceil()),
        ..Info::default()
    };
    UsageInfoList { usage_info: Some(shown), usage_info_key: Some(info.key) }
}
