//! The ports that pods listen on.

/// PostgreSQL clients at a gateway.
pub const GATEWAY_POSTGRES: i32 = 15433;
/// HTTP of a gateway.
pub const GATEWAY_HTTP: i32 = 15100;
/// gRPC of a gateway.
pub const GATEWAY_GRPC: i32 = 15991;
/// HTTP of an orchestrator.
pub const ORCH_HTTP: i32 = 15300;
/// gRPC of an orchestrator.
pub const ORCH_GRPC: i32 = 16000;
/// HTTP of the admin server.
pub const ADMIN_HTTP: i32 = 15000;
/// gRPC of the admin server.
pub const ADMIN_GRPC: i32 = 15990;
/// HTTP of a pooler.
pub const POOLER_HTTP: i32 = 15200;
/// gRPC of a pooler.
pub const POOLER_GRPC: i32 = 16001;
/// HTTP of pgctld.
pub const PGCTLD_HTTP: i32 = 15400;
/// gRPC of pgctld.
pub const PGCTLD_GRPC: i32 = 17000;
/// PostgreSQL itself.
pub const POSTGRES: i32 = 5432;
/// Metrics of the Prometheus exporter.
pub const EXPORTER_METRICS: i32 = 9187;
/// Metrics and health of etcd.
pub const ETCD_METRICS: i32 = 2381;
