-- Rows of these tables are replaced again and again: pages keep room for the next version of their rows.
ALTER TABLE facilities SET (fillfactor = 50);
ALTER TABLE resources SET (fillfactor = 50);
ALTER TABLE customers SET (fillfactor = 50);
ALTER TABLE workloads SET (fillfactor = 50);
ALTER TABLE allocations SET (fillfactor = 50);
