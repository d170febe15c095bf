# What looks for known vulnerabilities and writes the bill of materials lives in an environment of its own.
AUDIT_VENV := .venv-audit
AUDIT_READY := $(AUDIT_VENV)/ready

.PHONY: audit sbom

# Strict: a package about which the database was not asked, or did not answer, is no clean package.
audit: $(AUDIT_READY)
	@for pinned in runtime dev; do \
	    echo "requirements/$$pinned.txt"; \
	    $(AUDIT_VENV)/bin/pip-audit --strict --disable-pip --require-hashes --progress-spinner off -r requirements/$$pinned.txt \
	    || { echo "A vulnerability was found, or the database could not be asked (the lines above say which): not audited."; exit 1; }; \
	done

sbom: $(AUDIT_READY)
	@mkdir -p build
	$(AUDIT_VENV)/bin/cyclonedx-py requirements requirements/runtime.txt --pyproject pyproject.toml --output-reproducible --validate -o build/sbom.json
	@$(AUDIT_VENV)/bin/python -c 'import json; print(len(json.load(open("build/sbom.json"))["components"]), "packages in build/sbom.json")'

$(AUDIT_READY): requirements/audit.txt
	test -x $(AUDIT_VENV)/bin/python || $(PYTHON) -m venv $(AUDIT_VENV)
	$(AUDIT_VENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements/audit.txt
	touch $@
