// What is installed from where.

rule npm_hook_payload {
  meta:
    id = "supply.install-hook"
    severity = "high"
    message = "a package's install hook runs something that fetches, decodes or calls a shell"
  strings:
    $a = /["'](pre|post)?(install|prepare|uninstall|publish)["']\s*:\s*["'][^"\n]{0,160}(\bcurl\b|\bwget\b|node\s+-e|base64|\bsh\s+-c|bash\s+-c|powershell|https?:\/\/|python3?\s+-c|\/dev\/tcp|\beval\b|npm\s+(i|install)\s+(-g|--global)|\bnc\s)/
  condition:
    path iendswith "package.json" and $a
}

rule npm_hook {
  meta:
    id = "supply.install-hook"
    severity = "medium"
    message = "a package's install hook runs a script of its own"
  strings:
    $a = /["'](pre|post)install["']\s*:\s*["'][^"\n]{0,120}(node|sh|bash|python3?|\.\/)[^"\n]{0,100}["']/
  condition:
    path iendswith "package.json" and $a
}

rule setup_py_hook {
  meta:
    id = "supply.install-hook"
    severity = "high"
    message = "an installation script runs commands or calls out when it is installed"
  strings:
    $_cmd = /class\s+\w+\(\s*(install|develop|egg_info|build_py|sdist|_install)\s*\)/
    $run = /\b(os\.system|subprocess\.\w+|urlopen|requests\.(get|post)|exec|eval)\(/
  condition:
    path iendswith "setup.py" and $_cmd and $run
}

rule install_from_url {
  meta:
    id = "supply.install-from-url"
    severity = "high"
    message = "installs a package from an address instead of a registry"
  strings:
    $pip = /\bpip3?\s+install\s+(-\w+\s+)*(https?:\/\/[^\s"'`]{4,160}\.(whl|tar\.gz|zip|tgz)|http:\/\/|git\+http:\/\/)/
    $index = /\bpip3?\s+(install|config)\s+[^\n]{0,120}(--(extra-)?index-url|-i|index-url)[= ]\s*["']?(http:\/\/|https?:\/\/\d{1,3}\.\d{1,3})/
    $trusted = /\bpip3?\s+install\s+[^\n]{0,160}--trusted-host\b/
    $npm = /\b(npm|pnpm|yarn|bun)\s+(i|install|add)\s+[^\n]{0,80}(http:\/\/|https:\/\/[^\s"'`]{4,160}\.(tgz|tar\.gz))/
    $reg = /\b(npm|pnpm|yarn)\s+(config\s+set\s+registry|[^\n]{0,80}--registry[= ])\s*["']?(http:\/\/[^l]|https?:\/\/\d{1,3}\.\d{1,3})/
    $rc = /(registry\s*=\s*http:\/\/|index-url\s*=\s*http:\/\/|index-url\s*=\s*https?:\/\/\d{1,3}\.\d)/
    $ip = /\b(pip3?|npm|gem|go|cargo)\s+(install|i|get|add)\s+[^\n]{0,120}https?:\/\/\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}/
  condition:
    any of them
}

rule install_from_git {
  meta:
    id = "supply.install-from-url"
    severity = "low"
    message = "installs a package straight from a repository, so a later version may be another"
  strings:
    $a = /\bpip3?\s+install\s+[^\n]{0,80}git\+(https|ssh):\/\//
    $b = /\bnpm\s+(i|install)\s+[^\n]{0,60}(git\+|github:)/
  condition:
    any of them
}

rule runtime_install_address {
  meta:
    id = "supply.install-from-url"
    severity = "high"
    message = "installs code from an address while it runs"
  strings:
    $a = /(subprocess\.\w+|os\.system|execSync|exec|spawnSync)\(\s*\[?[^\n]{0,80}["'\s](pip3?|npm|uv)["'\s,]{1,4}(install|i|add)[^\n]{0,80}(git\+https?:|https?:\/\/)/
  condition:
    $a
}

rule runtime_install {
  meta:
    id = "supply.runtime-install"
    severity = "low"
    message = "installs packages while it runs"
  strings:
    $a = /(subprocess\.\w+|os\.system)\(\s*\[?[^\n]{0,60}["'\s]pip3?["'\s,]{1,4}install/
    $b = /(execSync|exec|spawnSync)\(\s*["'`]npm (i|install)\b/
  condition:
    any of them
}

rule workflow_secrets {
  meta:
    id = "supply.workflow"
    severity = "high"
    message = "a workflow hands secrets or its rights to code of strangers"
  strings:
    $json = /toJSON\(\s*secrets\s*\)/
    $_prt = /pull_request_target/
    $co = /ref:\s*\$\{\{\s*github\.event\.pull_request\.head\.(sha|ref)/
    $curl = /\bcurl\b[^\n]{0,200}\$\{\{\s*secrets\./
    $inj = /run:[^\n]{0,80}\$\{\{\s*github\.event\.(issue|pull_request|comment)\.(title|body)/
  condition:
    $json or ($_prt and ($co or $inj)) or $curl
}

rule editor_autorun {
  meta:
    id = "supply.editor-autorun"
    severity = "high"
    message = "an editor runs a command when the folder is opened"
  strings:
    $a = /["']runOn["']\s*:\s*["']folderOpen["']/
    $b = /["']postCreateCommand["']\s*:\s*["'][^\n]{0,200}(curl|wget)[^\n]{0,160}\|\s*(ba)?sh/
  condition:
    any of them
}

rule mcp_server_shell {
  meta:
    id = "supply.tool-server"
    severity = "high"
    message = "a tool server's configuration starts a shell that fetches or sends something"
  strings:
    $a = /["']command["']\s*:\s*["']((\/bin\/)?(ba|z)?sh|cmd(\.exe)?|powershell(\.exe)?)["'][\s\S]{0,200}(curl|wget|https?:\/\/|base64|iex|\/dev\/tcp|nc\s)/
    $b = /["']mcpServers["'][\s\S]{0,400}["']url["']\s*:\s*["']http:\/\/(\d{1,3}\.){3}\d{1,3}/
  condition:
    any of them
}
