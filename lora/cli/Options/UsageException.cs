namespace CudaLora.Cli;

/// <summary>A command line or config file that cannot be understood. One line; exit code 2.</summary>
internal sealed class UsageException(string message) : Exception(message);
