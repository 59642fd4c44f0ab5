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

/// As a literal: whether [`EFFECTIVE_GROUP`] is not null, never null itself. It says no more than that, and its
/// subqueries do not depend on the row: they are answered once, not for each runtime of an account.
macro_rules! has_group {
    () => {
        "(r.model_group_id IS NOT NULL OR (r.resource_group_id IS NOT NULL AND (
            r.resource_group_id IN (SELECT rg.id FROM resource_group rg
                JOIN model_group of_rg ON of_rg.id = rg.model_group_id WHERE of_rg.agent_provider = 'Common')
            OR (r.resource_group_id, r.agent_provider) IN (SELECT rg.id, of_rg.agent_provider FROM resource_group rg
                JOIN model_group of_rg ON of_rg.id = rg.model_group_id))))"
    };
}

/// Whether a runtime has a model group, of its own or by its resource group. `r` is the row of `runtime`.
pub(in crate::store) const HAS_GROUP: &str = has_group!();

/// Whether it has none.
pub(in crate::store) const HAS_NO_GROUP: &str = concat!("NOT ", has_group!());

/// The id of the effective model group, else null: the resource group's wins over the runtime's own. `r` is the row of
/// `runtime`.
pub(in crate::store) const EFFECTIVE_GROUP: &str =
    concat!("COALESCE(", of_resource_group!(), ", r.model_group_id)");
