-- What goes with an account or a person is found without looking at everybody's.

CREATE INDEX follows_by_account ON follows (account);
CREATE INDEX flows_by_person ON flows (person);
