-- The person at the browser proves to be the asker by signing in first, where their network has a web login.
--
-- Both columns are under the tag unless they are NULL, so that the flows there are keep theirs.

ALTER TABLE flows ADD COLUMN proof TEXT;        -- JSON: whether it is done, and at which login; NULL: by the code
ALTER TABLE flows ADD COLUMN proof_hash BLOB;   -- of the state that the browser was sent to the login with
CREATE UNIQUE INDEX flows_by_proof ON flows (proof_hash) WHERE proof_hash IS NOT NULL;
