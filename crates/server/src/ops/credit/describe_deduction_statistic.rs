//! DescribeDeductionStatistic: credits used by day and by period, and the packs that are left.

use creel_control::access::Actor;
use creel_control::ledger::{Pack, PeriodUnit, span_of};
use creel_wire::error::ApiError;
use creel_wire::ops::credit::describe_deduction_statistic::{
    Data, DataAvailableCorePackages, DataDeductions, DataUsages, Input, Output, Periods,
};
use creel_wire::time::{TimeFormat, read_any, to_epoch_ms};

use super::{CREDIT_PACKAGE, DAY_MS, GROUP_CREDIT_PACKAGE, api_error, has_credit_package, span};
use crate::app::App;
use crate::ops::shown_time;

pub(crate) async fn handle(app: &App, actor: Actor, input: Input) -> Result<Output, ApiError> {
    let span = span(input.start_time, input.end_time, app.clock.now_ms())?;
    let spans: Vec<(i64, i64)> = input.periods.iter().map(period).collect::<Result<_, _>>()?;
    if !has_credit_package(None, &input.resource_types) {
        return Ok(Output { data: Some(Data::default()) });
    }
    let found = app.credits.statistic(&actor.account_id, &input.instance_ids, span, &spans).await;
    let found = found.map_err(api_error)?;
    let deductions = found.days.into_iter().map(|(day, micros)| DataDeductions {
        consume_second: Some(micros.credits_ceil()),
        deduction_date: shown_time(day * DAY_MS, TimeFormat::SpacedSeconds).get(..10).map(str::to_owned),
        resource_type: Some(CREDIT_PACKAGE.to_owned()),
    });
    let usages = input.periods.into_iter().zip(found.spans).map(|(period, micros)| DataUsages {
        consume_second: Some(micros.credits_ceil()),
        period: period.base_time,
        resource_type: Some(CREDIT_PACKAGE.to_owned()),
    });
    let data = Data {
        available_core_packages: Some(found.packs.into_iter().map(shown).collect()),
        deductions: Some(deductions.collect()),
        usages: Some(usages.collect()),
    };
    Ok(Output { data: Some(data) })
}

/// The span of the calendar that a period names by a moment in it.
fn period(period: &Periods) -> Result<(i64, i64), ApiError> {
    let wrong = || {
        let message =
            "Each of Periods needs a BaseTime such as 2026-01-31 and a PeriodUnit: Year, Month, Day or Hour.";
        ApiError::invalid("Periods", message)
    };
    let base = period.base_time.as_deref().ok_or_else(wrong)?;
    let at = read_any(base).or_else(|| read_any(&format!("{base} 00:00:00"))).ok_or_else(wrong)?;
    let unit = match period.period_unit.as_deref() {
        Some("Year") => PeriodUnit::Year,
        Some("Month") => PeriodUnit::Month,
        Some("Day") => PeriodUnit::Day,
        Some("Hour") => PeriodUnit::Hour,
        _ => return Err(wrong()),
    };
    Ok(span_of(unit, to_epoch_ms(at)))
}

/// Whole credits: used rounds up.
fn shown(pack: Pack) -> DataAvailableCorePackages {
    let time = |at_ms| shown_time(at_ms, TimeFormat::SpacedSeconds);
    DataAvailableCorePackages {
        ali_uid: pack.account_id.as_str().parse().ok(),
        create_time: Some(time(pack.created_at_ms)),
        end_time: pack.expires_at_ms.map(time),
        expired_time: pack.expires_at_ms.map(time),
        group_resource_type: Some(GROUP_CREDIT_PACKAGE.to_owned()),
        resource_id: Some(pack.id.to_string()),
        resource_type: Some(CREDIT_PACKAGE.to_owned()),
        start_time: Some(time(pack.starts_at_ms)),
        status: Some("Active".to_owned()),
        total_time: Some(pack.total.credits_floor()),
        used_time: Some(pack.used.credits_ceil()),
        ..DataAvailableCorePackages::default()
    }
}
