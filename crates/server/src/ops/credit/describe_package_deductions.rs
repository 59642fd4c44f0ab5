//! DescribePackageDeductions: what runtimes took from packs, by hour, newest first.

use creel_control::access::Actor;
use creel_control::catalog;
use creel_control::ledger::{DeductionFilter, DeductionPage, HourDeduction, hour_start_ms};
use creel_control::page::PageNumber;
use creel_control::runtime::Runtime;
use creel_wire::error::ApiError;
use creel_wire::ops::credit::describe_package_deductions::{Deductions, Input, Output};
use creel_wire::time::TimeFormat;

use super::{CREDIT_PACKAGE, GROUP_CREDIT_PACKAGE, api_error, has_credit_package, span};
use crate::app::App;
use crate::ops::{page_error, shown_time};

const PAGE_SIZE_MAX: i64 = 100;

pub(crate) async fn handle(app: &App, actor: Actor, input: Input) -> Result<Output, ApiError> {
    let number = PageNumber::new(input.page_num, input.page_size, PAGE_SIZE_MAX, PAGE_SIZE_MAX)
        .map_err(|error| page_error(&error, "PageSize"))?;
    if input.package_ids.is_empty() && !input.instance_ids.is_empty() {
        return Err(ApiError::missing("PackageIds"));
    }
    let (from_ms, until_ms) = span(input.start_time, input.end_time, app.clock.now_ms())?;
    let filter = DeductionFilter {
        nothing: !has_credit_package(input.resource_type.as_deref(), &input.resource_types),
        runtime_ids: input.instance_ids,
        pack_ids: input.package_ids,
        from_ms: Some(from_ms),
        until_ms: Some(until_ms),
        ..DeductionFilter::default()
    };
    let page = DeductionPage { offset: number.offset(), limit: number.size, ..DeductionPage::default() };
    let found = app.credits.hour_deductions(&actor.account_id, &filter, &page).await.map_err(api_error)?;
    Ok(Output {
        deductions: Some(found.rows.into_iter().map(|(row, runtime)| shown(&row, runtime)).collect()),
        page_num: Some(number.number),
        page_size: Some(number.size),
        total_count: Some(found.count),
        total_used_time: Some(found.total.credits_ceil()),
        total_used_time_decimal: Some(found.total.to_string()),
        ..Output::default()
    })
}

/// Used rounds up; the text is exact.
fn shown(row: &HourDeduction, runtime: Runtime) -> Deductions {
    let size = catalog::find_desktop_type(&runtime.desktop_type);
    let deleted = runtime.deleted_at_ms.is_some();
    let outer = runtime.jvs_id.map_or_else(|| runtime.id.to_string(), String::from);
    Deductions {
        cpu: size.map(|size| size.cpu_count),
        desktop_id: Some(runtime.id.to_string()),
        desktop_name: Some(runtime.name),
        desktop_type: Some(runtime.desktop_type.clone()),
        end_time: Some(shown_time(hour_start_ms(row.hour + 1), TimeFormat::Minutes)),
        group_resource_type: Some(GROUP_CREDIT_PACKAGE.to_owned()),
        instance_id: Some(outer),
        instance_state: Some(if deleted { "Deleted" } else { runtime.sandbox.as_str() }.to_owned()),
        instance_type: Some(runtime.desktop_type),
        memory: size.map(|size| size.memory_mib),
        os_type: Some(runtime.os_type),
        region_id: Some(runtime.region_id),
        resource_type: Some(CREDIT_PACKAGE.to_owned()),
        sta_time: Some(shown_time(hour_start_ms(row.hour), TimeFormat::Minutes)),
        used_time: Some(row.micros.credits_ceil()),
        used_time_decimal: Some(row.micros.to_string()),
        ..Deductions::default()
    }
}
