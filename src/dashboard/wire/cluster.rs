//! Nodes, and what each says of itself.

use serde::Deserialize;

use crate::dashboard::wire::At;
use crate::routes::JustNow;

#[derive(Debug, Deserialize)]
pub struct Node {
    pub id: String,
    pub address: Option<String>,
    pub version: String,
    pub since: At,
    pub partitions: usize,
    pub in_flight: u64,
    pub held: bool,
    pub lease_until: Option<At>,
}

#[derive(Debug, Deserialize)]
pub struct Partitions {
    pub data: Vec<OwnedPartitions>,
}

#[derive(Debug, Deserialize)]
pub struct OwnedPartitions {
    pub node: String,
    pub partitions: Vec<usize>,
}

#[derive(Debug, Deserialize)]
pub struct NodeHealth {
    pub id: String,
    pub reachable: bool,
    pub memory_bytes: Option<u64>,
    pub commits: Option<u64>,
    pub commit_p99_ms: Option<f64>,
    pub moves: Vec<PartitionsMoved>,
    #[serde(default)]
    pub just_now: Option<JustNow>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct PartitionsMoved {
    pub at: At,
    pub what: String,
    pub partitions: u64,
}

#[derive(Debug, Deserialize)]
pub struct Settings {
    pub node: String,
    pub data: Vec<Setting>,
    pub nodes: Vec<AskedNode>,
}

#[derive(Debug, Deserialize)]
pub struct Setting {
    pub heading: String,
    pub name: String,
    pub value: String,
    pub masked: bool,
    pub default: String,
    pub source: SettingSource,
    pub meaning: String,
    pub elsewhere: Vec<SettingElsewhere>,
}

#[derive(Debug, Deserialize)]
pub struct SettingSource {
    pub kind: String,
    pub at: Option<String>,
}

#[derive(Debug, Deserialize)]
pub struct SettingElsewhere {
    pub node: String,
    pub value: String,
}

#[derive(Debug, Deserialize)]
pub struct AskedNode {
    pub id: String,
    pub reachable: bool,
}
