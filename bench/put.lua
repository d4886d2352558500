-- wrk: PUT of 4 KiB, as many as there can be.
wrk.method = "PUT"
wrk.body = string.rep("x", 4096)
wrk.path = "/b/limit/key"
