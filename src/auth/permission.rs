//! The one table of what each role may do.

use crate::domain::Role;

/// Something that a route does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Permission {
    /// Endpoints: make, read, change, delete, test.
    ManageEndpoints,
    /// Post events.
    PostEvents,
    /// Look at events and deliveries.
    ReadDeliveries,
    /// Ask for another attempt.
    RetryDeliveries,
    /// Look at the catalog.
    ReadEventTypes,
    /// Change the catalog.
    WriteEventTypes,
    /// Make an endpoint that hears of the troubles of all partners.
    HearOfAllPartners,
    /// Stop the flow to partners, and let it go.
    Brake,
    /// Look at the audit log: all of it, or a partner's own part.
    ReadAudit,
    /// Look at how long things are kept: a partner's own.
    ReadRetention,
    /// Say for how long things are kept.
    SetRetention,
    /// Look at statistics: all of them, or a partner's own.
    ReadStatistics,
    /// Partners, keys and nodes.
    Operate,
}

impl Permission {
    /// All of them, for a test that walks the table.
    pub const ALL: [Self; 13] = [
        Self::ManageEndpoints,
        Self::PostEvents,
        Self::ReadDeliveries,
        Self::RetryDeliveries,
        Self::ReadEventTypes,
        Self::WriteEventTypes,
        Self::HearOfAllPartners,
        Self::Brake,
        Self::ReadAudit,
        Self::ReadRetention,
        Self::SetRetention,
        Self::ReadStatistics,
        Self::Operate,
    ];

    /// Whether a role has it (`product.md`, the column "who").
    pub const fn is_given_to(self, role: Role) -> bool {
        match self {
            Self::ManageEndpoints
            | Self::RetryDeliveries
            | Self::ReadAudit
            | Self::ReadRetention
            | Self::ReadStatistics => {
                matches!(role, Role::Partner | Role::Operator)
            }
            Self::PostEvents => matches!(role, Role::Producer | Role::Operator),
            Self::ReadDeliveries | Self::ReadEventTypes => true,
            Self::WriteEventTypes | Self::HearOfAllPartners | Self::Brake | Self::SetRetention | Self::Operate => {
                matches!(role, Role::Operator)
            }
        }
    }

    /// Whether every role has it.
    pub const fn is_given_to_all(self) -> bool {
        self.is_given_to(Role::Partner) && self.is_given_to(Role::Producer) && self.is_given_to(Role::Operator)
    }

    /// The roles that have it, in words.
    pub const fn roles(self) -> &'static str {
        match self {
            Self::ManageEndpoints
            | Self::RetryDeliveries
            | Self::ReadAudit
            | Self::ReadRetention
            | Self::ReadStatistics => "`partner` or `operator`",
            Self::PostEvents => "`producer` or `operator`",
            Self::ReadDeliveries | Self::ReadEventTypes => "`partner`, `producer` or `operator`",
            Self::WriteEventTypes | Self::HearOfAllPartners | Self::Brake | Self::SetRetention | Self::Operate => {
                "`operator`"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_say_what_the_table_says() {
        for permission in Permission::ALL {
            for role in [Role::Partner, Role::Producer, Role::Operator] {
                let said = permission.roles().contains(&format!("`{role}`"));
                assert_eq!(permission.is_given_to(role), said, "{permission:?} {role}");
            }
        }
    }
}
