//! Leases on PostgreSQL: not there yet, so every verb refuses.
use super::PostgresOptions;
use crate::domain::NodeId;
use crate::store::{Lease, Leases, NodeRecord, NodeReport, Renewed, StoreError};
use std::time::Duration;
pub struct PostgresLeases;
impl PostgresLeases {
    pub fn new(_: &PostgresOptions) -> Self {
        Self
    }
}
impl Leases for PostgresLeases {
    fn renew(&self, _: &NodeReport, _: &[Lease], _: Duration) -> Result<Renewed, StoreError> {
        Err(StoreError::Busy(String::new()))
    }
    fn acquire(&self, _: NodeId, _: usize, _: Duration) -> Result<Vec<Lease>, StoreError> {
        Err(StoreError::Busy(String::new()))
    }
    fn release(&self, _: &[Lease]) -> Result<(), StoreError> {
        Err(StoreError::Busy(String::new()))
    }
    fn leave(&self, _: NodeId) -> Result<(), StoreError> {
        Err(StoreError::Busy(String::new()))
    }
    fn nodes(&self) -> Result<Vec<NodeRecord>, StoreError> {
        Err(StoreError::Busy(String::new()))
    }
}
