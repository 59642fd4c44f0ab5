//! DescribeDesktops: runtimes as desktops.

use creel_control::access::Actor;
use creel_control::catalog;
use creel_control::page::PageNumber;
use creel_control::runtime::{
    Disk, Management, RuntimeAttributes, RuntimeFilter, RuntimeView, SandboxStatus, provider_word,
};
use creel_wire::error::ApiError;
use creel_wire::ops::runtime::describe_desktops::{
    Desktops, DesktopsDisks, DesktopsResourceGroups, DesktopsTags, Input, Output,
};
use creel_wire::time::TimeFormat;

use crate::app::App;
use crate::ops::{page_by_token, page_error, shown_time};

const PAGE_SIZE_DEFAULT: i64 = 10;
const PAGE_SIZE_MAX: i64 = 1_000;

/// Pages by number where the caller names one, else by token.
pub(crate) async fn handle(app: &App, actor: Actor, input: Input) -> Result<Output, ApiError> {
    app.check_region(&input.region_id)?;
    let by_number = input.page_number.is_some() || input.page_size.is_some();
    let with_groups = input.fill_resource_group != Some(false);
    if by_number {
        let page = PageNumber::new(input.page_number, input.page_size, PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX)
            .map_err(|error| page_error(&error, "PageSize"))?;
        let filter = filter(input);
        let listed = app.runtimes.list(&actor.scope(), filter, page).await;
        let (views, total) = listed.map_err(super::api_error)?;
        return Ok(Output {
            desktops: Some(views.into_iter().map(|view| shown(view, with_groups)).collect()),
            next_token: None,
            page_number: Some(page.number),
            page_size: Some(page.size),
            total_count: Some(total),
        });
    }
    let (after, limit) =
        page_by_token(input.next_token.as_deref(), input.max_results, PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX)?;
    let filter = filter(input);
    let listed = app.runtimes.list_after(&actor.scope(), filter, after, limit).await;
    let page = listed.map_err(super::api_error)?;
    Ok(Output {
        next_token: page.next.map(|cursor| cursor.to_token()),
        total_count: Some(page.total),
        desktops: Some(page.items.into_iter().map(|view| shown(view, with_groups)).collect()),
        ..Output::default()
    })
}

fn filter(input: Input) -> RuntimeFilter {
    let management = input.management_flag.map(|flag| flag.parse::<Management>());
    // Every runtime speaks ASP, and none is migrated or updated: a filter for that finds nothing.
    let nothing =
        input.protocol_type.is_some_and(|kind| kind != "ASP") || matches!(management, Some(Err(())));
    let mut statuses = input.desktop_status_list;
    statuses.extend(input.desktop_status);
    RuntimeFilter {
        ids: input.desktop_id,
        region_id: Some(input.region_id),
        names: input.desktop_name.into_iter().collect(),
        deleted: statuses.iter().any(|status| status == "Deleted"),
        sandbox_statuses: statuses,
        office_site_id: input.office_site_id.or(input.directory_id),
        office_site_name: input.office_site_name,
        resource_group_id: input.resource_group_id,
        users: input.end_user_id,
        excluded_users: input.excluded_end_user_id,
        image_ids: input.image_id,
        desktop_type: input.desktop_type,
        charge_type: input.charge_type,
        os_types: input.os_types,
        tags: input.tag.into_iter().filter_map(|tag| Some((tag.key?, tag.value))).collect(),
        management: management.and_then(Result::ok),
        nothing,
        ..RuntimeFilter::default()
    }
}

fn shown(view: RuntimeView, with_groups: bool) -> Desktops {
    let mut flags = view.management();
    if flags.is_empty() {
        flags.push(Management::NoFlag);
    }
    let flags: Vec<String> = flags.into_iter().map(|flag| flag.as_str().to_owned()).collect();
    let runtime = view.runtime;
    let image = catalog::find_image(&runtime.image_id);
    let size = catalog::find_desktop_type(&runtime.desktop_type);
    let bundle_name =
        runtime.bundle_id.as_deref().and_then(catalog::find_bundle).map(|found| found.name.to_owned());
    let waits = runtime.sandbox == SandboxStatus::Pending;
    let deleted = runtime.deleted_at_ms.is_some();
    let status = if deleted { "Deleted" } else { runtime.sandbox.as_str() };
    let RuntimeAttributes { policy_group_id, mut system_disk, data_disk } = runtime.attributes;
    system_disk.size_gib = system_disk.size_gib.or(image.map(|image| image.size_gib));
    let data = data_disk.size_gib.map(|_| shown_disk("DATA", &data_disk));
    let disks = std::iter::once(shown_disk("SYSTEM", &system_disk)).chain(data).collect();
    let tags = view.tags.into_iter().map(|(key, value)| DesktopsTags { key: Some(key), value: Some(value) });
    let groups = runtime
        .resource_group_id
        .map(|id| DesktopsResourceGroups { id: Some(id.to_string()), name: view.resource_group_name });
    Desktops {
        agent_provider_list: Some(vec![provider_word(runtime.agent_provider).to_owned()]),
        bind_amount: i64::try_from(view.users.len()).ok(),
        bundle_id: runtime.bundle_id,
        bundle_name,
        charge_type: Some(runtime.charge_type),
        connection_status: Some("Unknown".to_owned()),
        cpu: size.map(|size| size.cpu_count),
        creation_time: Some(shown_time(runtime.created_at_ms, TimeFormat::Minutes)),
        desktop_id: Some(runtime.id.to_string()),
        desktop_name: Some(runtime.name),
        desktop_status: Some(status.to_owned()),
        desktop_type: Some(runtime.desktop_type),
        directory_id: Some(runtime.office_site_id.to_string()),
        directory_type: Some("SIMPLE".to_owned()),
        data_disk_category: data_disk.category,
        data_disk_size: data_disk.size_gib.map(|size| size.to_string()),
        disks: Some(disks),
        end_user_ids: Some(view.users),
        host_name: Some(runtime.host_name),
        image_id: Some(runtime.image_id),
        image_name: image.map(|image| image.name.to_owned()),
        management_flag: flags.first().cloned(),
        management_flags: Some(flags),
        memory: size.map(|size| size.memory_mib),
        office_site_id: Some(runtime.office_site_id.to_string()),
        office_site_name: Some(view.office_site_name),
        office_site_type: Some("SIMPLE".to_owned()),
        os_type: Some(runtime.os_type),
        platform: image.map(|image| image.platform.to_owned()),
        // The API has no field for a reason; Progress is the one that people read while they wait.
        progress: Some(runtime.reason).filter(|reason| waits && !reason.is_empty()),
        protocol_type: Some("ASP".to_owned()),
        resource_groups: with_groups.then(|| groups.into_iter().collect()),
        session_type: Some("SINGLE_SESSION".to_owned()),
        standard_start_time: runtime.started_at_ms.map(|at| shown_time(at, TimeFormat::Seconds)),
        start_time: runtime.started_at_ms.map(|at| shown_time(at, TimeFormat::Minutes)),
        support_hibernation: Some(true),
        policy_group_id_list: policy_group_id.clone().map(|id| vec![id]),
        policy_group_id,
        system_disk_category: system_disk.category,
        system_disk_size: system_disk.size_gib,
        tags: Some(tags.collect()),
        volume_encryption_enabled: Some(false),
        ..Desktops::default()
    }
}

fn shown_disk(kind: &str, disk: &Disk) -> DesktopsDisks {
    DesktopsDisks {
        disk_category: disk.category.clone(),
        disk_size: disk.size_gib,
        disk_type: Some(kind.to_owned()),
        performance_level: disk.performance_level.clone(),
        ..DesktopsDisks::default()
    }
}
