//! DescribeRunIdDeductions: what calls of models took from packs and quotas, newest first.

use creel_control::access::Actor;
use creel_control::ledger::{AgentKind, DeductionFilter, DeductionPage, Entry};
use creel_control::page::PageNumber;
use creel_control::runtime::Runtime;
use creel_wire::error::ApiError;
use creel_wire::money::Micros;
use creel_wire::ops::credit::describe_run_id_deductions::{Deductions, Input, Output};
use creel_wire::time::TimeFormat;

use super::{CREDIT_PACKAGE, GROUP_CREDIT_PACKAGE, agent_kind, api_error, has_credit_package};
use crate::app::App;
use crate::ops::{page_by_token, page_error, shown_time};

const PAGE_SIZE_DEFAULT: i64 = 20;
const PAGE_SIZE_MAX: i64 = 1_000;

/// Pages by number where the caller names one, else by token.
pub(crate) async fn handle(app: &App, actor: Actor, input: Input) -> Result<Output, ApiError> {
    let number = PageNumber::new(input.page_num, input.page_size, PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX)
        .map_err(|error| page_error(&error, "PageSize"))?;
    let by_number = input.page_num.is_some() || input.page_size.is_some();
    let page = if by_number {
        DeductionPage { offset: number.offset(), limit: number.size, ..DeductionPage::default() }
    } else {
        let token = input.next_token.as_deref();
        let (after, limit) = page_by_token(token, input.max_results, PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX)?;
        DeductionPage { after, limit, ..DeductionPage::default() }
    };
    let filter = filter(&actor, input)?;
    let found = app.credits.deductions(&actor.account_id, &filter, &page).await.map_err(api_error)?;
    Ok(Output {
        deductions: Some(found.rows.into_iter().map(|(entry, runtime)| shown(entry, runtime)).collect()),
        max_results: (!by_number).then_some(page.limit),
        next_token: found.next.filter(|_| !by_number).map(|cursor| cursor.to_token()),
        page_num: by_number.then_some(number.number),
        page_size: by_number.then_some(number.size),
        total_count: Some(found.count),
        total_used_time: Some(found.total.credits_ceil()),
        total_used_time_decimal: Some(found.total.to_string()),
    })
}

fn filter(actor: &Actor, input: Input) -> Result<DeductionFilter, ApiError> {
    let kinds: Result<Vec<Option<AgentKind>>, ApiError> =
        input.agent_type.iter().chain(&input.agent_types).map(|kind| agent_kind(Some(kind))).collect();
    let of_others = input.ali_uid.is_some_and(|uid| uid.to_string() != actor.account_id.as_str());
    let groups = &input.group_resource_types;
    let nothing = of_others
        || !has_credit_package(input.resource_type.as_deref(), &input.resource_types)
        || !(groups.is_empty() || groups.iter().any(|group| group == GROUP_CREDIT_PACKAGE))
        || input.instance_id_type.is_some_and(|kind| !kind.is_empty() && kind != "AgentId");
    Ok(DeductionFilter {
        runtime_ids: input.instance_ids,
        pack_ids: input.package_ids,
        kinds: kinds?.into_iter().flatten().collect(),
        from_ms: input.start_time,
        until_ms: input.end_time,
        nothing,
    })
}

/// Used rounds up; the text is exact.
fn shown(entry: Entry, runtime: Runtime) -> Deductions {
    let agent_type = if runtime.jvs_id.is_some() { "JVS_CLAW" } else { "OPEN_CLAW" };
    let outer = runtime.jvs_id.map_or_else(|| runtime.id.to_string(), String::from);
    Deductions {
        agent_type: Some(agent_type.to_owned()),
        end_time: Some(shown_time(entry.created_at_ms, TimeFormat::Seconds)),
        group_resource_type: Some(GROUP_CREDIT_PACKAGE.to_owned()),
        instance_id: Some(outer),
        model: Some(entry.model_code.to_string()),
        package_id: entry.pack_id.map(String::from),
        resource_type: Some(CREDIT_PACKAGE.to_owned()),
        run_id: Some(entry.call_id.to_string()),
        used_time: Some(Micros::credits_ceil(entry.micros)),
        used_time_decimal: Some(entry.micros.to_string()),
        ..Deductions::default()
    }
}
