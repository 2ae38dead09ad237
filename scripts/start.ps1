# Starts Dragoman from its own folder; sets .venv up first when it is missing.
#   scripts\start.ps1 [options of "dragoman serve"]
# .env is read by the program itself: a variable of the caller wins over it. The URL is printed at the start.
$ErrorActionPreference = 'Stop'
Set-Location -LiteralPath (Split-Path -Parent $PSScriptRoot)

$onWindows = $env:OS -eq 'Windows_NT'
$python = if ($onWindows) { Join-Path '.venv' 'Scripts\python.exe' } else { Join-Path '.venv' 'bin/python' }
$program = if ($onWindows) { Join-Path '.venv' 'Scripts\dragoman.exe' } else { Join-Path '.venv' 'bin/dragoman' }

function Invoke-Step {
    param([string] $File, [string[]] $Words)
    & $File @Words
    if ($LASTEXITCODE -ne 0) { exit $LASTEXITCODE }
}

if (-not (Test-Path -LiteralPath $program)) {
    Write-Host 'Installing (once) ...'
    if ($onWindows) { Invoke-Step 'py' @('-3', '-m', 'venv', '.venv') }
    else { Invoke-Step 'python3' @('-m', 'venv', '.venv') }
    $pip = @('-m', 'pip', 'install', '--quiet', '--disable-pip-version-check')
    Invoke-Step $python ($pip + @('--require-hashes', '-r', 'requirements-run.lock'))
    Invoke-Step $python ($pip + @('--no-deps', '--no-build-isolation', '--editable', '.'))
}
if (-not (Test-Path -LiteralPath '.env')) {
    Write-Host 'No .env here: copy .env.example to .env to keep your settings.'
}
& $python -m dragoman serve @args
exit $LASTEXITCODE
