-- Where the holder of a lease can be reached by the other processes over this database, such as http://10.0.0.7:8080;
-- empty where nobody needs to reach it, or where it has not said how.
ALTER TABLE ledger_owner ADD COLUMN address TEXT NOT NULL DEFAULT '';
