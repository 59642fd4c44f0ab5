//! The effective model group of a runtime, in SQL: the one place that decides it. Every statement that asks which group a
//! runtime uses takes it from here.

/// As a literal, for constants that are put together of it.
macro_rules! of_resource_group {
    () => {
        "(SELECT of_rg.id FROM resource_group rg JOIN model_group of_rg ON of_rg.id = rg.model_group_id
          WHERE rg.id = r.resource_group_id AND of_rg.agent_provider IN (r.agent_provider, 'Common'))"
    };
}

/// The id of the model group that a runtime has from its resource group, else null: one for another program than the
/// runtime's is passed over. `r` is the row of `runtime`.
pub(in crate::store) const GROUP_OF_RESOURCE_GROUP: &str = of_resource_group!();

/// The id of the effective model group, else null: the resource group's wins over the runtime's own. `r` is the row of
/// `runtime`.
pub(in crate::store) const EFFECTIVE_GROUP: &str =
    concat!("COALESCE(", of_resource_group!(), ", r.model_group_id)");
