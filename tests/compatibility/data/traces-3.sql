PRAGMA page_size = 4096;
PRAGMA auto_vacuum = 2;
PRAGMA application_id = 1936223604;
PRAGMA user_version = 3;
BEGIN TRANSACTION;
CREATE TABLE age (
    boot_ns INTEGER NOT NULL,    -- since the machine was started
    age_ns INTEGER NOT NULL      -- of the store, then
);
INSERT INTO "age" VALUES(1000000000000,1000000000000);
CREATE TABLE services (
    service TEXT NOT NULL,
    trace INTEGER NOT NULL,
    PRIMARY KEY (service, trace)
) WITHOUT ROWID;
INSERT INTO "services" VALUES('cinder',1);
INSERT INTO "services" VALUES('nova',1);
INSERT INTO "services" VALUES('nova',2);
CREATE TABLE spans (
    trace INTEGER NOT NULL,      -- its n
    id BLOB NOT NULL,
    parent BLOB NOT NULL,
    name TEXT NOT NULL,
    service TEXT NOT NULL,
    project TEXT NOT NULL,
    host TEXT NOT NULL,
    start_ns INTEGER,            -- unix; NULL: that it began was not heard
    stop_ns INTEGER,             -- NULL: nor that it ended
    start_info TEXT,             -- JSON
    stop_info TEXT,
    exception TEXT,              -- class name, of a span that failed
    is_cut INTEGER NOT NULL,     -- info is not all that was said
    has_died INTEGER NOT NULL,   -- its process is gone, and it will not stop
    lane INTEGER NOT NULL,
    PRIMARY KEY (trace, id)
) WITHOUT ROWID;
INSERT INTO "spans" VALUES(1,X'0000000000000000000000000000000B',X'00000000000000000000000000000001','wsgi','nova','compute','node-1',1000,2000,'{"request":{"path":"/servers","method":"POST"}}',NULL,NULL,0,0,1);
INSERT INTO "spans" VALUES(1,X'0000000000000000000000000000000C',X'0000000000000000000000000000000B','db','cinder','compute','node-1',1100,1900,'{"db":{"statement":"SELECT ''é''"}}','{"etype":"DBError","message":"gone"}','DBError',0,0,1);
INSERT INTO "spans" VALUES(2,X'00000000000000000000000000000015',X'00000000000000000000000000000002','wsgi','nova','compute','node-1',5000,NULL,NULL,NULL,NULL,1,1,2);
INSERT INTO "spans" VALUES(2,X'00000000000000000000000000000016',X'00000000000000000000000000000002','wsgi','nova','compute','node-1',5100,5200,NULL,NULL,NULL,0,0,1);
INSERT INTO "spans" VALUES(2,X'00000000000000000000000000000017',X'00000000000000000000000000000002','wsgi','nova','compute','node-1',5101,5201,NULL,NULL,NULL,0,0,1);
INSERT INTO "spans" VALUES(2,X'00000000000000000000000000000018',X'00000000000000000000000000000002','wsgi','nova','compute','node-1',5102,5202,NULL,NULL,NULL,0,0,1);
CREATE TABLE traces (
    n INTEGER PRIMARY KEY,       -- in the order in which they were heard of
    id BLOB NOT NULL UNIQUE,
    start_ns INTEGER NOT NULL DEFAULT 0,
    stop_ns INTEGER NOT NULL DEFAULT 0,      -- of what was heard last
    spans INTEGER NOT NULL DEFAULT 0,
    open INTEGER NOT NULL DEFAULT 0,
    errors INTEGER NOT NULL DEFAULT 0,
    lost INTEGER NOT NULL DEFAULT 0,         -- spans beyond the limit
    heard_ns INTEGER NOT NULL DEFAULT 0      -- when that was, by the store's age
);
INSERT INTO "traces" VALUES(1,X'00000000000000000000000000000001',1000,2000,2,0,1,0,1000000000000);
INSERT INTO "traces" VALUES(2,X'00000000000000000000000000000002',5000,5202,4,0,0,1,1000000000000);
CREATE INDEX open_spans ON spans (lane) WHERE stop_ns IS NULL AND NOT has_died;
CREATE INDEX services_by_trace ON services (trace);
COMMIT;
