# The schemas of Kubernetes live in an environment of their own.
KUBERNETES_VENV := .venv-kubernetes
KUBERNETES_READY := $(KUBERNETES_VENV)/ready

.PHONY: kubernetes

kubernetes: $(KUBERNETES_READY)
	@$(KUBERNETES_VENV)/bin/python deploy/kubernetes/validate.py

$(KUBERNETES_READY): requirements/deploy.txt
	test -x $(KUBERNETES_VENV)/bin/python || $(PYTHON) -m venv $(KUBERNETES_VENV)
	$(KUBERNETES_VENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements/deploy.txt
	touch $@
