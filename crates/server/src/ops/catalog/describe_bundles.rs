//! DescribeBundles: images and sizes under one id.

use creel_control::access::Actor;
use creel_control::catalog::{self, BUNDLES, Bundle, CATALOG_CREATED_MS, DesktopType, Image};
use creel_wire::error::ApiError;
use creel_wire::ops::catalog::describe_bundles::{
    Bundles, BundlesDesktopTypeAttribute, BundlesDisks, Input, Output,
};
use creel_wire::time::TimeFormat;

use super::{page, wants, wants_id};
use crate::app::App;
use crate::ops::shown_time;

pub(crate) async fn handle(app: &App, _actor: Actor, input: Input) -> Result<Output, ApiError> {
    app.check_region(&input.region_id)?;
    let matching: Vec<Bundles> = BUNDLES
        .iter()
        .filter_map(|bundle| {
            let image = catalog::find_image(bundle.image_id)?;
            let size = catalog::find_desktop_type(bundle.desktop_type)?;
            matches(bundle, image, size, &input).then(|| shown(bundle, image, size, &input))
        })
        .collect();
    let (bundles, next_token) = page(matching, input.next_token.as_deref(), input.max_results)?;
    Ok(Output { bundles: Some(bundles), next_token })
}

fn matches(bundle: &Bundle, image: &Image, size: &DesktopType, input: &Input) -> bool {
    wants_id(&input.bundle_id, bundle.id)
        && wants_id(&input.image_id, bundle.image_id)
        && wants(input.bundle_type.as_deref(), "SYSTEM")
        && wants(input.desktop_type_family.as_deref(), size.family)
        && wants(input.os_type.as_deref(), image.os_type.as_str())
        && wants(input.protocol_type.as_deref(), "ASP")
        && wants(input.session_type.as_deref(), "SingleSession")
        && input.cpu_count.is_none_or(|count| count == size.cpu_count)
        // The caller counts GiB here; everywhere else in the API it is MiB.
        && input.memory_size.is_none_or(|gib| gib * 1024 == size.memory_mib)
        && input.gpu_count.is_none_or(|count| count <= 0.0)
        && input.gpu_driver_type.is_none()
        && input.support_multi_session != Some(true)
        && input.volume_encryption_enabled != Some(true)
}

fn shown(bundle: &Bundle, image: &Image, size: &DesktopType, input: &Input) -> Bundles {
    let disk = BundlesDisks {
        disk_size: Some(image.size_gib),
        disk_type: Some("SYSTEM".to_owned()),
        ..BundlesDisks::default()
    };
    Bundles {
        bundle_id: Some(bundle.id.to_owned()),
        bundle_name: Some(bundle.name.to_owned()),
        bundle_type: Some("SYSTEM".to_owned()),
        creation_time: Some(shown_time(CATALOG_CREATED_MS, TimeFormat::Minutes)),
        description: Some(bundle.description.to_owned()),
        desktop_type: Some(size.id.to_owned()),
        desktop_type_attribute: Some(BundlesDesktopTypeAttribute {
            cpu_count: Some(size.cpu_count),
            gpu_count: Some(0.0),
            memory_size: Some(size.memory_mib),
            ..BundlesDesktopTypeAttribute::default()
        }),
        desktop_type_family: Some(size.family.to_owned()),
        disks: Some(vec![disk]),
        image_id: Some(image.id.to_owned()),
        image_name: Some(image.name.to_owned()),
        image_status: Some("Available".to_owned()),
        language: Some("en-US".to_owned()),
        os_type: Some(image.os_type.as_str().to_owned()),
        platform: Some(image.platform.to_owned()),
        protocol_type: Some("ASP".to_owned()),
        session_type: Some("SingleSession".to_owned()),
        stock_state: (input.check_stock == Some(true)).then(|| "Sufficient".to_owned()),
        volume_encryption_enabled: Some(false),
        ..Bundles::default()
    }
}
