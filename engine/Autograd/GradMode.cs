namespace CudaLora.Engine;

/// <summary>Whether ops on this thread record themselves for backward. On unless switched off.</summary>
public static class GradMode
{
    [ThreadStatic]
    private static int disabled;

    /// <summary>True when ops record.</summary>
    public static bool Enabled => disabled == 0;

    /// <summary>
    /// Switches recording off until the returned guard is disposed: <c>using var _ = GradMode.NoGrad();</c>
    /// </summary>
    public static Guard NoGrad() => new(0);

    /// <summary>Switches recording on, inside a <see cref="NoGrad"/> region too, until the guard is disposed.</summary>
    internal static Guard EnableGrad() => new(disabled, enable: true);

    /// <summary>Restores the former mode when disposed.</summary>
    public ref struct Guard
    {
        private readonly int former;
        private bool open;

        internal Guard(int former, bool enable = false)
        {
            this.former = enable ? former : disabled;
            disabled = enable ? 0 : disabled + 1;
            open = true;
        }

        /// <summary>Restores the former mode.</summary>
        public void Dispose()
        {
            if (!open)
                return;
            disabled = former;
            open = false;
        }
    }
}
