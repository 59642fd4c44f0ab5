//! DescribeDesktopTypes: the sizes of runtimes.

use creel_control::access::Actor;
use creel_control::catalog::{DESKTOP_TYPES, DesktopType};
use creel_wire::error::ApiError;
use creel_wire::ops::catalog::describe_desktop_types::{DesktopTypes, Input, Output};

use super::{wants, wants_id};
use crate::app::App;

pub(crate) async fn handle(app: &App, _actor: Actor, input: Input) -> Result<Output, ApiError> {
    app.check_region(&input.region_id)?;
    let mut matching: Vec<&DesktopType> = DESKTOP_TYPES.iter().filter(|size| matches(size, &input)).collect();
    match input.order_by.as_deref() {
        None => {}
        Some("Memory") => matching.sort_by_key(|size| (size.memory_mib, size.id)),
        Some("Cpu") => matching.sort_by_key(|size| (size.cpu_count, size.id)),
        Some(_) => return Err(ApiError::invalid("OrderBy", "The parameter OrderBy must be Memory or Cpu.")),
    }
    match input.sort_type.as_deref() {
        None | Some("ASC") => {}
        Some("DESC") => matching.reverse(),
        Some(_) => return Err(ApiError::invalid("SortType", "The parameter SortType must be ASC or DESC.")),
    }
    Ok(Output { desktop_types: Some(matching.into_iter().map(shown).collect()) })
}

fn matches(size: &DesktopType, input: &Input) -> bool {
    wants(input.desktop_type_id.as_deref(), size.id)
        && wants_id(&input.desktop_type_id_list, size.id)
        && wants(input.instance_type_family.as_deref(), size.family)
        && input.cpu_count.is_none_or(|count| count == size.cpu_count)
        && input.memory_size.is_none_or(|mib| mib == size.memory_mib)
        && input.gpu_count.is_none_or(|count| count <= 0.0)
        && input.gpu_memory.is_none_or(|mib| mib <= 0)
        && input.gpu_driver_type.is_none()
        && input.support_min_session_count.is_none_or(|count| count <= 1)
}

fn shown(size: &DesktopType) -> DesktopTypes {
    DesktopTypes {
        cpu_count: Some(size.cpu_count.to_string()),
        desktop_type_id: Some(size.id.to_owned()),
        desktop_type_status: Some("SUFFICIENT".to_owned()),
        gpu_count: Some(0.0),
        gpu_memory: Some(0),
        instance_type_family: Some(size.family.to_owned()),
        max_session_count: Some(1),
        memory_size: Some(size.memory_mib.to_string()),
        stock_state: Some("Sufficient".to_owned()),
        ..DesktopTypes::default()
    }
}
