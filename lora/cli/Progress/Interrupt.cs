using System.Runtime.InteropServices;

namespace CudaLora.Cli;

/// <summary>Ctrl-C and SIGTERM: the first asks the work to stop in good order, the second ends the process at
/// once.</summary>
internal sealed class Interrupt : IDisposable
{
    private readonly CancellationTokenSource source = new();
    private readonly Action<string> say;
    private readonly PosixSignalRegistration[] registrations;

    /// <param name="say">Told once what the first press does.</param>
    public Interrupt(Action<string> say)
    {
        this.say = say;
        registrations =
        [
            PosixSignalRegistration.Create(PosixSignal.SIGINT, OnSignal),
            PosixSignalRegistration.Create(PosixSignal.SIGTERM, OnSignal),
        ];
    }

    /// <summary>Cancelled by the first press.</summary>
    public CancellationToken Token => source.Token;

    public bool IsPressed => source.IsCancellationRequested;

    public void Dispose()
    {
        foreach (var registration in registrations) registration.Dispose();
        source.Dispose();
    }

    private void OnSignal(PosixSignalContext context)
    {
        if (!IsPressed)
        {
            context.Cancel = true;
            source.Cancel();
            say("stopping after this step; press Ctrl-C again to quit at once");
            return;
        }
        // A live view hides the cursor.
        if (!Console.IsOutputRedirected) Console.Out.Write("\u001b[?25h\n");
        Environment.Exit(ExitCode.Interrupted);
    }
}
