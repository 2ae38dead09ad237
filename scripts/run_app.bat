@echo off
rem Starts Dragoman from its own folder; sets .venv up first when it is missing.
rem   scripts\run_app.bat [options of "dragoman serve"]
rem .env is read by the program itself: a variable of the caller wins over it.
setlocal
cd /d "%~dp0.."

if not exist ".venv\Scripts\dragoman.exe" (
    echo Installing ^(once^) ...
    py -3 -m venv ".venv" || exit /b 1
    ".venv\Scripts\python.exe" -m pip install --quiet --disable-pip-version-check --require-hashes -r "requirements-run.lock" || exit /b 1
    ".venv\Scripts\python.exe" -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable . || exit /b 1
)
if not exist ".env" echo No .env here: copy .env.example to .env to keep your settings.
".venv\Scripts\python.exe" -m dragoman serve %*
exit /b %errorlevel%
